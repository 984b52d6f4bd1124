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


def flv_tags(data: bytes) -> Iterator[tuple[int, int, memoryview]]:
    """The tags of an FLV file: kind, time in milliseconds, body."""
    at = 13
    while at + 11 < len(data):
        length = int.from_bytes(data[at + 1 : at + 4], "big")
        time_ms = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        yield data[at], time_ms, memoryview(data)[at + 11 : at + 11 + length]
        at += 11 + length + 4


def times_of(path: Path) -> list[float]:
    """Presentation times of the pictures in milliseconds, from the first one shown."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0"]
    text = subprocess.run([*command, path], capture_output=True, text=True, check=True).stdout
    times = [round(float(line.strip(",")) * 1000) for line in text.split()]
    return [at - min(times) for at in times]


def test_a_real_file_with_b_frames_and_sound_is_recorded_packet_for_packet(tmp_path: Path) -> None:
    source = tmp_path / "source.flv"
    pictures = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=4"]
    sound = ["-f", "lavfi", "-i", "sine=duration=4"]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-c:a", "aac"]
    subprocess.run([*FFMPEG, *pictures, *sound, *codecs, source], check=True)
    engine = livereel.Engine(record_dir=tmp_path / "records")
    engine.start()
    events = engine.events(timeout=30)
    tracks: dict[int, int] = {}
    with engine.push("file") as push:
        for kind, at, body in flv_tags(source.read_bytes()):
            if kind not in (8, 9):
                continue
            video = kind == 9
            payload = body[5 if video else 2 :]
            if body[1] == 0:
                tracks[kind] = push.track("h264" if video else "aac", bytes(payload))
            elif body[1] == 1:
                composition = int.from_bytes(body[2:5], "big") if video else 0
                key = not video or body[0] >> 4 == 1
                while not push.push(tracks[kind], payload, at + composition, dts=at, key=key):
                    assert push.wait(30)
    file = finish(engine, events)
    for stream in ("0:v", "0:a"):
        assert packets(file.path, stream) == packets(source, stream)
    assert times_of(file.path) == times_of(source)


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
