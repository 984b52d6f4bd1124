"""Events of real publishes, by iterator, async iterator and callbacks."""

import asyncio
import dataclasses
import json
import logging
import pickle
import threading
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import DEADLINE, packets, until

import livereel
from livereel._events import event_from_json

ORDER = ["listening", "session_published", "recording_started", "file_finished", "recording_finished"]


def test_events_of_a_publish_arrive_in_order_with_their_facts(
    engine: livereel.Engine, publish: Callable[..., Any], tmp_path: Path
) -> None:
    events = engine.events(timeout=DEADLINE)
    with engine:
        publish(engine, "camera").wait()
        seen = until(events, "recording_finished")
    seen += events
    names = [event.event for event in seen]
    assert [name for name in names if name in ORDER] == ORDER
    assert names.count("session_ended") == 1
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))

    by_name = {event.event: event for event in seen}
    now = datetime.now(timezone.utc)
    for event in seen:
        assert type(event) is livereel.EVENT_CLASSES[event.event]
        assert timedelta(0) <= now - event.time < timedelta(minutes=5)
        if event.event != "listening":
            assert event.stream_name == "camera"
            assert event.media_session_id == seen[-1].media_session_id

    published = by_name["session_published"]
    assert isinstance(published, livereel.SessionPublished)
    assert published.protocol == "rtmp" and published.recording_id is None
    video = [track for track in published.tracks if track.kind == "video"]
    assert [(track.width, track.height) for track in video] == [(320, 180)]

    file = by_name["file_finished"]
    assert isinstance(file, livereel.FileFinished)
    assert file.path.parent == tmp_path / "records" and file.path.is_absolute()
    assert file.path.stat().st_size == file.size_bytes
    assert 1900 <= file.duration_ms <= 2200
    written = {track.kind: track.samples_written for track in file.tracks}
    assert written == packets(file.path)
    for track in file.tracks:
        assert track.samples_in == track.samples_written + sum(track.dropped.values())

    finished = by_name["recording_finished"]
    assert isinstance(finished, livereel.RecordingFinished)
    assert (finished.parts, finished.size_bytes) == (1, file.size_bytes)
    assert finished.recording_id == file.recording_id


def test_an_event_has_every_field_of_its_json_and_can_be_pickled(
    engine: livereel.Engine, publish: Callable[..., Any]
) -> None:
    queue = engine._native.events()
    with engine:
        publish(engine).wait()
    names = Counter()
    while (text := queue.next(DEADLINE)) is not None:
        data = json.loads(text)
        event = event_from_json(text)
        names[event.event] += 1
        assert set(data) <= {field.name for field in dataclasses.fields(event)}
        for track in data.get("tracks", ()):
            cls = livereel.TrackBalance if event.event == "file_finished" else livereel.TrackFacts
            assert set(track) <= {field.name for field in dataclasses.fields(cls)}
        with pytest.raises(AttributeError):
            event.seq = 0  # type: ignore[misc]
        assert pickle.loads(pickle.dumps(event)) == event
    assert set(ORDER) <= set(names)


def test_an_iteration_ends_after_the_last_event_of_a_stopped_engine(engine: livereel.Engine) -> None:
    events = engine.events(timeout=DEADLINE)
    with engine:
        pass
    assert [event.event for event in events] == ["listening"]
    assert list(events) == []


def test_a_step_that_waits_too_long_raises_and_the_next_goes_on(engine: livereel.Engine) -> None:
    events = engine.events(timeout=0.01)
    with pytest.raises(livereel.TimeoutError):
        next(events)
    with engine:
        pass
    assert next(events).event == "listening"


def test_close_ends_an_iteration_that_waits_on_another_thread(engine: livereel.Engine) -> None:
    events = engine.events(timeout=DEADLINE)
    seen: list[livereel.Event] = []
    reader = threading.Thread(target=lambda: seen.extend(events))
    reader.start()
    events.close()
    reader.join(DEADLINE)
    assert not reader.is_alive() and seen == []


def test_async_for_gives_the_events_and_never_blocks_the_loop(
    engine: livereel.Engine, publish: Callable[..., Any]
) -> None:
    async def main() -> list[str]:
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        events = engine.events(timeout=DEADLINE)
        names = []
        async with engine:
            publish(engine)
            async for event in events:
                names.append(event.event)
                if event.event == "recording_finished":
                    break
            before = turns
            await asyncio.sleep(0)
            assert turns > before
        async for event in events:
            names.append(event.event)
        ticking.cancel()
        return names

    names = asyncio.run(main())
    assert [name for name in names if name in ORDER] == ORDER


def test_a_cancelled_step_of_async_for_loses_no_event(engine: livereel.Engine) -> None:
    async def main() -> None:
        events = engine.events()
        step = asyncio.ensure_future(events.__anext__())
        await asyncio.sleep(0)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        async with engine:
            first = await asyncio.wait_for(events.__anext__(), DEADLINE)
        assert first.event == "listening"
        assert [event.event async for event in events] == []
        assert [event.event async for event in events] == []

    asyncio.run(main())


def test_an_async_step_with_a_timeout_raises_and_the_next_goes_on(engine: livereel.Engine) -> None:
    async def main() -> None:
        events = engine.events(timeout=0.01)
        with pytest.raises(livereel.TimeoutError):
            await events.__anext__()
        with pytest.raises(livereel.InvalidStateError):
            next(events)
        events.close()
        assert [event async for event in events] == []

    asyncio.run(main())


def test_decorators_get_their_event_on_one_thread_of_the_engine(
    engine: livereel.Engine, publish: Callable[..., Any]
) -> None:
    seen: list[livereel.Event] = []
    files: list[livereel.FileFinished] = []
    threads: set[int] = set()

    @engine.on_event
    def everything(event: livereel.Event) -> None:
        threads.add(threading.get_ident())
        seen.append(event)

    @engine.on_file_finished
    def one(file: livereel.FileFinished) -> None:
        threads.add(threading.get_ident())
        files.append(file)

    with engine:
        publish(engine).wait()
    assert [event.event for event in seen if event.event in ORDER] == ORDER
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert [file for file in seen if isinstance(file, livereel.FileFinished)] == files
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_an_exception_in_a_callback_is_logged_and_breaks_nothing(
    engine: livereel.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    @engine.on_listening
    def fails(event: livereel.Listening) -> None:
        raise RuntimeError("a fault of the host")

    @engine.on_listening
    def exits(event: livereel.Listening) -> None:
        raise SystemExit(1)

    @engine.on_listening
    def works(event: livereel.Listening) -> None:
        seen.append(event.event)

    with caplog.at_level(logging.ERROR, "livereel"), engine:
        pass
    assert seen == ["listening"]
    raised = [record.exc_info[0] for record in caplog.records if record.name == "livereel" and record.exc_info]
    assert raised == [RuntimeError, SystemExit]


def test_a_callback_may_call_everything_of_the_engine(engine: livereel.Engine, publish: Callable[..., Any]) -> None:
    infos: list[Any] = []

    @engine.on_recording_started
    def ask(event: livereel.RecordingStarted) -> None:
        assert event.media_session_id and event.recording_id
        infos.append(engine.sessions())
        infos.append(engine.session(event.media_session_id).info)
        infos.append(engine.recording(event.recording_id).info)
        infos.append(engine.events())

    with engine:
        publish(engine).wait()
    assert len(infos) == 4
    assert infos[1].stream_name == "test" and infos[2].part == 1


def test_stop_from_inside_a_callback_returns_at_once_and_files_are_finished(
    engine: livereel.Engine, publish: Callable[..., Any]
) -> None:
    files: list[livereel.FileFinished] = []
    events = engine.events(timeout=DEADLINE)

    @engine.on_recording_started
    def stop(event: livereel.RecordingStarted) -> None:
        engine.stop()

    engine.on_file_finished(files.append)
    engine.start()
    publish(engine, forever=True)
    names = [event.event for event in events]
    engine.stop()
    assert names[-1] in ("recording_finished", "session_ended")
    assert names.count("recording_finished") == 1
    assert len(files) <= 1


def test_a_removed_callback_is_called_no_more(engine: livereel.Engine) -> None:
    seen: list[livereel.Event] = []
    engine.on_event(seen.append)
    engine.remove_callback(seen.append)
    with pytest.raises(ValueError, match="not a callback"):
        engine.remove_callback(seen.append)
    with engine:
        pass
    assert seen == []


def test_a_coroutine_callback_runs_on_the_loop_and_the_block_waits_for_it(
    engine: livereel.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    @engine.on_listening
    async def works(event: livereel.Listening) -> None:
        await asyncio.sleep(0)
        seen.append((event.event, asyncio.get_running_loop()))

    @engine.on_listening
    async def fails(event: livereel.Listening) -> None:
        raise RuntimeError("a fault of the host")

    async def main() -> asyncio.AbstractEventLoop:
        async with engine:
            pass
        return asyncio.get_running_loop()

    loop = asyncio.run(main())
    assert seen == [("listening", loop)]
    assert [record.name for record in caplog.records] == ["livereel"]


def test_a_coroutine_callback_may_stop_the_engine(settings: dict[str, Any]) -> None:
    async def main() -> list[str]:
        engine = livereel.Engine(**settings)
        events = engine.events(timeout=DEADLINE)

        @engine.on_listening
        async def stop(event: livereel.Listening) -> None:
            await engine.stop_async()

        async with engine:
            return [event.event async for event in events]

    assert asyncio.run(main()) == ["listening"]


def test_a_coroutine_callback_without_a_loop_is_a_type_error(engine: livereel.Engine) -> None:
    async def callback(event: livereel.Event) -> None: ...

    engine.on_event(callback)
    with pytest.raises(TypeError, match="async with"):
        engine.start()
    engine.remove_callback(callback)
    with engine:
        with pytest.raises(TypeError, match="async with"):
            engine.on_event(callback)
    with pytest.raises(TypeError, match="callable"):
        engine.on_event(None)  # type: ignore[type-var, arg-type]


def test_two_engines_keep_their_events_apart(
    settings: dict[str, Any], publish: Callable[..., Any], tmp_path: Path
) -> None:
    engines = [livereel.Engine(**{**settings, "record_dir": tmp_path / name}) for name in ("one", "two")]
    queues = [engine.events(timeout=DEADLINE) for engine in engines]
    with engines[0], engines[1]:
        publishers = [publish(engine, name) for engine, name in zip(engines, ("one", "two"))]
        for publisher in publishers:
            publisher.wait()
    for queue, name in zip(queues, ("one", "two")):
        seen = list(queue)
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        assert {event.stream_name for event in seen} <= {None, name}
        files = [event for event in seen if isinstance(event, livereel.FileFinished)]
        assert [file.path.parent for file in files] == [tmp_path / name]
