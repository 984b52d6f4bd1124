"""Commands to sessions and recordings."""

import asyncio
import signal
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import DEADLINE, eventually, packets, until

import livereel


@pytest.fixture
def running(
    engine: livereel.Engine, publish: Callable[..., Any]
) -> "tuple[livereel.Engine, livereel.Events, livereel.Session, livereel.Recording]":
    """An engine with one endless publish that is being recorded."""
    events = engine.events(timeout=DEADLINE)
    engine.start()
    publish(engine, "camera", forever=True)
    started = until(events, "recording_started")[-1]
    assert started.media_session_id and started.recording_id
    return engine, events, engine.session(started.media_session_id), engine.recording(started.recording_id)


def test_listings_tell_what_runs(running: Any) -> None:
    engine, _, session, recording = running
    [info] = engine.sessions()
    assert (info.media_session_id, info.stream_name, info.protocol) == (session.id, "camera", "rtmp")
    assert session.info.samples_in >= info.samples_in
    assert {track.kind for track in session.info.tracks} <= {"video", "audio"}
    assert "width" in session.info.facts
    [listed] = engine.recordings()
    assert (listed.recording_id, listed.media_session_id) == (recording.id, session.id)
    assert recording.info.part == 1 and not recording.info.paused


def test_a_second_recording_has_its_own_template_and_rotation(running: Any) -> None:
    engine, events, session, _ = running
    with session.record(template="{streamName}-extra", rotation="1s") as extra:
        file = until(events, "file_finished")[-1]
        assert file.recording_id == extra.id
        assert file.file_name.startswith("camera-extra") and file.part == 1
        assert file.reason == "rotation_duration"
    assert [info.recording_id for info in engine.recordings()] != [extra.id]
    with pytest.raises(livereel.InvalidArgumentError):
        session.record(rotation="often")


def test_the_end_of_a_with_block_waits_for_the_files(running: Any, tmp_path: Path) -> None:
    _, events, session, _ = running
    with session.record(template="block") as extra:
        until(events, "recording_started")
    [path] = (tmp_path / "records").glob("block*.mp4")
    assert events_file(events, extra.id).path == path
    assert packets(path)
    with pytest.raises(livereel.InvalidStateError):
        extra.stop()


def events_file(events: livereel.Events, recording_id: str) -> livereel.FileFinished:
    for event in events:
        if isinstance(event, livereel.FileFinished) and event.recording_id == recording_id:
            return event
    raise AssertionError("no file")


def test_rotate_begins_a_new_part(running: Any) -> None:
    _, events, _, recording = running
    recording.rotate()
    file = until(events, "file_finished")[-1]
    assert (file.part, file.reason) == (1, "rotation_requested")
    assert recording.info.part == 2


def test_what_comes_in_a_pause_is_left_out_and_counted(running: Any) -> None:
    _, events, session, recording = running
    recording.pause(keep_gap=True)
    eventually(lambda: recording.info.paused)
    before = session.info.samples_in
    eventually(lambda: session.info.samples_in >= before + 10)
    recording.resume()
    eventually(lambda: not recording.info.paused)
    recording.stop(timeout=DEADLINE)
    file = events_file(events, recording.id)
    assert file.reason == "stopped"
    assert sum(track.dropped.get("paused", 0) for track in file.tracks) >= 10
    with pytest.raises(livereel.InvalidStateError):
        recording.pause()


def test_a_recording_that_ended_within_its_block_leaves_the_block_quietly(running: Any) -> None:
    _, events, session, recording = running
    with recording:
        session.terminate()
        until(events, "recording_finished")
    with pytest.raises(livereel.InvalidStateError):
        session.terminate()


def test_async_twins_stop_a_recording_and_an_engine(settings: dict[str, Any], publish: Callable[..., Any]) -> None:
    async def main() -> list[str]:
        engine = livereel.Engine(**settings)
        events = engine.events(timeout=DEADLINE)
        await engine.start_async()
        publish(engine, forever=True)
        reasons = []
        async for event in events:
            if isinstance(event, livereel.RecordingStarted):
                assert event.recording_id and event.media_session_id
                async with engine.session(event.media_session_id).record(template="block"):
                    pass
                await engine.recording(event.recording_id).stop_async(timeout=DEADLINE)
                break
        await engine.stop_async()
        async for event in events:
            if isinstance(event, livereel.RecordingFinished):
                reasons.append(event.reason)
        return reasons

    assert asyncio.run(main()) == ["stopped", "stopped"]


def test_what_a_killed_process_left_is_recovered(
    run_program: Callable[..., Any], settings: dict[str, Any], publish: Callable[..., Any], tmp_path: Path
) -> None:
    child = run_program(
        """
        import livereel, os, signal, sys
        engine = livereel.Engine(record_dir=sys.argv[1], rtmp_listen="127.0.0.1:0", record_threads=1,
                                 record_sync_interval=100)
        events = engine.events()
        engine.start()
        print(engine.address("rtmp"), flush=True)
        for event in events:
            if event.event == "recording_started":
                recording = engine.recording(event.recording_id)
                while recording.info.duration_ms < 2000:
                    pass
                os.kill(os.getpid(), signal.SIGKILL)
        """,
        str(tmp_path / "records"),
    )
    publish(child.stdout.readline().strip(), "killed", forever=True)
    _, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == -signal.SIGKILL, err
    engine = livereel.Engine(**settings)
    events = engine.events(timeout=DEADLINE)
    [file] = engine.recover()
    assert file.reason == "recovered" and packets(file.path)["video"] > 0
    with engine:
        pass
    [event] = [event for event in events if isinstance(event, livereel.Recovered)]
    assert (event.path, event.size_bytes, event.tracks) == (file.path, file.size_bytes, file.tracks)
