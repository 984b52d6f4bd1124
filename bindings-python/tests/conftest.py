"""Gets ffmpeg.

Gives engines that record to a folder of the test, and real publishers over RTMP.
"""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

import livereel

# Seconds that one step of a test may take on a busy machine; a test that is right needs far less.
DEADLINE = 30.0


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s of H.264 with B-frames, a key frame each second, and AAC, as FLV."""
    path = tmp_path_factory.mktemp("media") / "clip.flv"
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error"]
        + ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=44100"]
        + ["-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p"]
        + ["-c:a", "aac", "-f", "flv", str(path)],
        check=True,
    )
    return path


class Publisher:
    """An ffmpeg that publishes the clip, once or until it is closed."""

    def __init__(self, clip: Path, url: str, forever: bool) -> None:
        loop = ["-stream_loop", "-1"] if forever else []
        self.process = subprocess.Popen(
            ["ffmpeg", "-nostdin", "-v", "error", "-re", *loop, "-i", str(clip), "-c", "copy", "-f", "flv", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> int:
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)


@pytest.fixture
def publish(clip: Path) -> Iterator[Callable[..., Publisher]]:
    """publish(engine or address, name="test", forever=False) starts a publisher."""
    publishers: list[Publisher] = []

    def start(engine: Any, name: str = "test", forever: bool = False) -> Publisher:
        address = engine if isinstance(engine, str) else engine.address("rtmp")
        publishers.append(Publisher(clip, f"rtmp://{address}/live/{name}", forever))
        return publishers[-1]

    yield start
    for publisher in publishers:
        publisher.close()


@pytest.fixture
def run_child() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """run_child(argument, ...) starts a Python that reports every leak; killed after the test."""
    children: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        children.append(
            subprocess.Popen(
                [sys.executable, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONWARNINGS": "default", "PYTHONFAULTHANDLER": "1"},
            )
        )
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def run_program(run_child: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., "subprocess.Popen[str]"]:
    """run_program(source, argument, ...) starts a Python program."""
    return lambda source, *arguments: run_child("-c", textwrap.dedent(source), *arguments)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Settings of an engine of this test."""
    return {"record_dir": tmp_path / "records", "rtmp_listen": "127.0.0.1:0", "record_threads": 1}


@pytest.fixture
def engine(settings: dict[str, Any]) -> Iterator[livereel.Engine]:
    """An engine that is not started; stopped after the test."""
    made = livereel.Engine(**settings)
    yield made
    made.stop()


def until(events: livereel.Events, name: str) -> list[livereel.Event]:
    """The events up to and with the first of this name."""
    seen = []
    for event in events:
        seen.append(event)
        if event.event == name:
            return seen
    raise AssertionError(f"no {name} in {[event.event for event in seen]}")


def eventually(holds: Callable[[], bool]) -> None:
    """Waits for what a thread of the engine is about to do and no event tells."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        os.sched_yield()


def packets(path: Path) -> dict[str, int]:
    """How many packets of each kind PyAV reads from a file."""
    import av

    counts: dict[str, int] = {}
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.size:
                counts[packet.stream.type] = counts.get(packet.stream.type, 0) + 1
    return counts


def live_threads() -> int:
    """The threads of this process that the operating system knows."""
    return len(os.listdir("/proc/self/task"))
