"""One stream recorded through the examples in C, Python and Node, and by livereel-server: the same bytes."""

import os
import re
import subprocess
import sys
import threading

import media
import publishers
import pytest
import sources
from server import DEADLINE_S, RELEASE, ROOT


def c_example(tmp_path, records):
    """Builds the example as a user would, against the library installed into a folder."""
    prefix = tmp_path / "installed"
    install = {**os.environ, "BUILD": str(RELEASE), "PREFIX": str(prefix)}
    subprocess.run([ROOT / "ffi/install.sh"], env=install, check=True, stdout=subprocess.DEVNULL)
    binary = tmp_path / "record"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "livereel"],
        env={**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    subprocess.run(["cc", "-o", binary, ROOT / "examples/c/record.c", *flags], check=True)
    command = [binary, records, "127.0.0.1:0", "--files", "1"]
    return command, {**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")}


def python_example(_, records):
    """The wheel of this tree is in the environment that runs the tests."""
    arguments = ["--dir", records, "--listen", "127.0.0.1:0", "--files", "1"]
    return [sys.executable, ROOT / "examples/python/record.py", *arguments], None


def node_example(tmp_path, records):
    """`require('livereel')` finds the package of this tree."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "livereel").symlink_to(ROOT / "bindings-node")
    arguments = ["--record-dir", records, "--rtmp-listen", "127.0.0.1:0", "--files", "1"]
    return ["node", ROOT / "examples/node/record.js", *arguments], {**os.environ, "NODE_PATH": str(modules)}


def record_by_example(command, environment, records):
    """Publishes to the address that the example prints; it ends by itself after one file."""
    process = subprocess.Popen([str(word) for word in command], env=environment, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"rtmp://(\S+?)/live|listening rtmp (\S+)", line):
                url = f"rtmp://{found[1] or found[2]}/live"
                publishers.run(publishers.load(sources.short_flv(), url, speed=0))
        assert process.wait() == 0, lines
    finally:
        watchdog.cancel()
        process.kill()
    (path,) = records.glob("*.mp4")
    return path


@pytest.mark.parametrize("example", [c_example, python_example, node_example], ids=["c", "python", "node"])
def test_the_same_stream_gives_the_same_bytes_in_every_language(serve, tmp_path, example):
    server = serve()
    publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0))
    _, by_server = server.finished("load-0")
    server.stop()

    records = tmp_path / "by-example"
    records.mkdir()
    by_example = record_by_example(*example(tmp_path, records), records)
    media.assert_good(by_example)
    assert media.bytes_without_dates(by_example) == media.bytes_without_dates(by_server)
