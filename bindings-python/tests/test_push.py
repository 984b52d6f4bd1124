"""A Python program that pushes the packets of a real file."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import livereel

FFMPEG = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y"]


def packets(path: Path, stream: str) -> list[str]:
    """MD5 of each packet's payload, as ffmpeg reads a file."""
    command = [*FFMPEG, "-i", path, "-map", stream, "-c", "copy", "-f", "framemd5", "-"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split(",")[-1].strip() for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def adts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("push") / "a.aac"
    source = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=5"]
    subprocess.run([*FFMPEG, *source, "-c:a", "aac", path], check=True)
    # The same frames without their headers, by ffmpeg's own muxer.
    subprocess.run([*FFMPEG, "-i", path, "-c", "copy", path.with_suffix(".mp4")], check=True)
    return path


def frames(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    while data:
        length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        yield data[:length]
        data = data[length:]


def finish(engine: livereel.Engine, events: livereel.Events) -> livereel.FileFinished:
    engine.stop()
    (file,) = [event for event in events if isinstance(event, livereel.FileFinished)]
    return file


def test_a_pushed_stream_is_recorded_packet_for_packet(tmp_path: Path, adts: Path) -> None:
    engine = livereel.Engine(record_dir=tmp_path)
    engine.start()
    events = engine.events(timeout=30)
    with engine.push("pushed", login="me") as push:
        track = push.track("aac", timescale=48000)
        for number, frame in enumerate(frames(adts)):
            assert push.push(track, memoryview(frame), number * 1024)
        assert push.session.info.protocol == "push"
        assert push.session.info.login == "me"
    file = finish(engine, events)
    assert packets(file.path, "0:a") == packets(adts.with_suffix(".mp4"), "0:a")
    (balance,) = file.tracks
    assert balance.samples_in == balance.samples_written == len(list(frames(adts)))


def test_twenty_thousand_samples_take_well_under_their_second(tmp_path: Path) -> None:
    engine = livereel.Engine(record_dir=tmp_path)
    engine.start()
    events = engine.events(timeout=60)
    payload = bytes(300)
    with engine.push("fast") as push:
        track = push.track("aac", bytes([0x11, 0x90]), timescale=48000)
        began = time.monotonic()
        for number in range(20_000):
            while not push.push(track, payload, number * 1024):
                assert push.wait(30)
        took = time.monotonic() - began
    print(f"{20_000 / took:.0f} samples a second")
    file = finish(engine, events)
    assert file.tracks[0].samples_written == 20_000


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    engine = livereel.Engine(record_dir=tmp_path)
    with pytest.raises(livereel.InvalidStateError):
        engine.push("early")
    engine.start()
    push = engine.push("pushed")
    with pytest.raises(livereel.InvalidArgumentError, match="allowed: h264"):
        push.track("h266")
    with pytest.raises(livereel.MalformedError):
        push.track("h264", b"nonsense")
    track = push.track("aac", bytes([0x11, 0x90]))
    with pytest.raises(livereel.NotFoundError):
        push.push(track + 1, b"x", 0)
    with pytest.raises(livereel.MalformedError):
        push.push(track, b"", 0)
    with pytest.raises(livereel.InvalidArgumentError, match="being published already"):
        engine.push("pushed")
    push.end()
    with pytest.raises(livereel.InvalidStateError):
        push.push(track, b"x", 0)
    engine.stop()
