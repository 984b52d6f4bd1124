#!/usr/bin/env python3
"""Runs every check and test of livereel, or those named: `run.py rust e2e`. All parts run even where
one fails. Each part's closing lines are read and summed up into one last line."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: No part takes that long but one that hangs; then it is ended and counts as failed.
PART_LIMIT_S = 40 * 60

#: name, what it judges, command. In order: the cheap and telling ones first.
PARTS = {
    "format": ("cargo fmt", "cargo fmt --all --check"),
    "clippy": ("lints, warnings as errors", "cargo clippy --workspace --all-targets -- -D warnings"),
    "deny": ("licences and sources of crates", "cargo deny --log-level error check --hide-inclusion-graph licenses bans sources"),
    "advisories": ("known holes in crates", "cargo deny check --disable-fetch advisories"),
    "rust": ("unit, property and integration tests", "cargo test --workspace --no-fail-fast"),
    "c": ("C face: tests, ASan, valgrind, examples", "tests/c/run.sh"),
    "python": ("Python package: wheel, pytest, types", "bindings-python/run-tests.sh"),
    "node": ("Node package: types, node's test runner", "bindings-node/run-tests.sh"),
    "build": ("optimised build", "cargo build --release -p livereel-server -p livereel-load -p livereel-ffi"),
    "e2e": ("whole servers with real encoders", "python -m pytest -q -n 4 -m 'not alone' tests/e2e"),
    "live": ("browsers and cameras, one by one", "python -m pytest -q -n 0 -m alone tests/e2e"),
}


@dataclass
class Tally:
    """What closing lines say."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored")
PLAIN = re.compile(r"^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
PYTEST = re.compile(r"^=* ?(?:\d+ \w+, )*\d+ \w+ in \d[\d.:]*s?.*$")
PYTEST_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)")
NODE = re.compile(r"^(?:#|ℹ) (pass|fail|skipped|cancelled) (\d+)$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def read_closing_line(line):
    """What one line of a runner's output adds to the tally; nothing where it is no closing line."""
    tally = Tally()
    line = COLOUR.sub("", line).strip()
    if match := CARGO.match(line) or PLAIN.match(line):
        tally = Tally(*(int(count or 0) for count in match.groups()))
    elif match := NODE.match(line):
        where = {"pass": "passed", "fail": "failed", "cancelled": "failed", "skipped": "skipped"}[match[1]]
        setattr(tally, where, int(match[2]))
    elif PYTEST.match(line):
        for count, what in PYTEST_COUNT.findall(line):
            where = {"passed": "passed", "xfailed": "passed", "skipped": "skipped"}.get(what, "failed")
            setattr(tally, where, getattr(tally, where) + int(count))
    return tally


def say(text):
    print(time.strftime("[%H:%M:%S] ") + text, flush=True)


def skipped_because(name):
    """Why a part cannot run on this machine, if so."""
    cargo_home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    if name == "advisories" and not any(cargo_home.glob("advisory-dbs/*")):
        return "no advisory database on this machine; `cargo deny fetch` brings one"
    if name == "clippy" and subprocess.run(["cargo", "clippy", "--version"], capture_output=True).returncode:
        return "this Rust comes without clippy"
    return None


def run(name):
    """Runs one part with its output passed through, and returns its tally."""
    what, command = PARTS[name]
    if reason := skipped_because(name):
        say(f"{name}: skipped, {reason}")
        return Tally(skipped=1)
    say(f"{name}: {what}: {command}")
    started = time.monotonic()
    tally = Tally()
    try:
        process = subprocess.Popen(
            shlex.split(command),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        say(f"{name}: {error}")
        return Tally(failed=1)
    watchdog = threading.Timer(PART_LIMIT_S, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    for line in process.stdout:
        print(line, end="", flush=True)
        tally.add(read_closing_line(line))
    code = process.wait()
    watchdog.cancel()
    if code != 0 and not tally.failed:
        tally.failed = 1
    elif tally == Tally():
        tally.passed = 1  # a check without a count of its own
    say(f"{name}: {tally}, exit code {code}, {time.monotonic() - started:.0f} s")
    return tally


def main():
    # Started in the background of a script, a process ignores Ctrl-C and so would all its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        sys.exit(f"no such part: {' '.join(unknown)}; there are {' '.join(PARTS)}")
    tallies = {name: run(name) for name in names}
    total = Tally()
    print()
    for name, tally in tallies.items():
        print(f"  {name:<11}{tally}")
        total.add(tally)
    print(total)
    sys.exit(1 if total.failed else 0)


if __name__ == "__main__":
    main()
