"""The edges of an engine's life: collection, threads, exit, fork, signals."""

import asyncio
import functools
import gc
import multiprocessing
import os
import signal
import threading
import weakref
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import DEADLINE, live_threads, packets, until

import livereel


def test_stop_while_callbacks_wait_for_the_interpreter_does_not_hang(
    engine: livereel.Engine, publish: Callable[..., Any]
) -> None:
    names: list[str] = []
    engine.on_event(lambda event: names.append(event.event))
    events = engine.events(timeout=DEADLINE)
    with engine:
        publish(engine, forever=True)
        until(events, "recording_started")
        # The stop itself makes the events; each callback needs the interpreter meanwhile.
    assert names[-1] == [event.event for event in events][-1]
    assert "file_finished" in names


def test_a_collected_engine_finishes_its_files_and_warns(settings: dict[str, Any], publish: Callable[..., Any]) -> None:
    engine = livereel.Engine(**settings)
    engine.on_event(functools.partial(lambda engine, event: None, engine))  # A cycle through a callback.
    events = engine.events(timeout=DEADLINE)
    engine.start()
    publish(engine, forever=True)
    until(events, "recording_started")
    gone = weakref.ref(engine)
    with pytest.warns(ResourceWarning, match="collected without stop"):
        del engine
        gc.collect()
    assert gone() is None
    rest = list(events)
    files = [event for event in rest if isinstance(event, livereel.FileFinished)]
    assert [file.reason for file in files] == ["engine_stopped"]
    assert packets(files[0].path) == {track.kind: track.samples_written for track in files[0].tracks}


def test_an_engine_whose_last_reference_ends_in_its_own_callback_finishes_its_files(
    settings: dict[str, Any], publish: Callable[..., Any]
) -> None:
    engine = livereel.Engine(**settings)
    entered, dropped = threading.Event(), threading.Event()

    @engine.on_recording_started
    def hold(event: livereel.RecordingStarted) -> None:
        entered.set()
        assert dropped.wait(DEADLINE)

    events = engine.events(timeout=DEADLINE)
    engine.start()
    publish(engine, forever=True)
    assert entered.wait(DEADLINE)
    with pytest.warns(ResourceWarning, match="collected without stop"):
        del engine
        dropped.set()
        names = [event.event for event in events]
    assert names.count("file_finished") == 1 and names.count("recording_finished") == 1


def test_an_engine_that_never_started_is_collected_without_a_word(settings: dict[str, Any]) -> None:
    livereel.Engine(**settings).on_event(print)
    gc.collect()


def test_no_thread_is_left_of_stopped_engines_and_dropped_iterators(settings: dict[str, Any]) -> None:
    async def use() -> None:
        engine = livereel.Engine(**settings)
        events = engine.events()
        async with engine:
            async for _ in events:
                break
        waiting = asyncio.ensure_future(livereel.Engine(**settings).events().__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(use())
    before = live_threads()
    for _ in range(3):
        asyncio.run(use())
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "livereel-events":
            thread.join(DEADLINE)
    assert not [thread for thread in threading.enumerate() if thread.name == "livereel-events"]
    assert live_threads() <= before


def test_a_loop_that_closes_ends_the_thread_that_feeds_it(engine: livereel.Engine) -> None:
    events = engine.events()

    async def wait_in_vain() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(events.__anext__(), 0.01)

    asyncio.run(wait_in_vain())
    with engine:
        pass
    for thread in threading.enumerate():
        if thread.name == "livereel-events":
            thread.join(DEADLINE)
            assert not thread.is_alive()


def test_ctrl_c_ends_a_wait_for_events(run_program: Callable[..., Any], tmp_path: Path) -> None:
    child = run_program(
        """
        import livereel, sys
        engine = livereel.Engine(record_dir=sys.argv[1], rtmp_listen="127.0.0.1:0", record_threads=1)
        events = engine.events()
        with engine:
            next(events)
            try:
                print("waiting", flush=True)
                next(events)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        """,
        str(tmp_path),
    )
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=DEADLINE)
    assert (child.returncode, out, err) == (0, "interrupted\n", "")


@pytest.mark.parametrize("ending", ["pass", "sys.exit(0)", "raise KeyError('a fault of the host')"])
def test_the_exit_of_the_interpreter_finishes_the_files_of_a_running_engine(
    run_program: Callable[..., Any], ending: str, publish: Callable[..., Any], tmp_path: Path
) -> None:
    child = run_program(
        f"""
        import livereel, sys
        engine = livereel.Engine(record_dir=sys.argv[1], rtmp_listen="127.0.0.1:0", record_threads=1)
        events = engine.events()
        @engine.on_file_finished
        def finished(file):
            print(file.path, flush=True)
        engine.start()
        print(engine.address("rtmp"), flush=True)
        for event in events:
            if event.event == "recording_started":
                break
        {ending}
        """,
        str(tmp_path / "records"),
    )
    publish(child.stdout.readline().strip(), forever=True)
    out, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == (1 if "raise" in ending else 0), err
    assert ("a fault of the host" in err) if "raise" in ending else err == ""
    files = list((tmp_path / "records").glob("*.mp4"))
    assert out.split() == [str(files[0])]
    assert packets(files[0])["video"] > 0


def test_the_exit_of_the_interpreter_with_iterators_and_a_loop_in_use_ends(
    run_program: Callable[..., Any], tmp_path: Path
) -> None:
    child = run_program(
        """
        import asyncio, livereel, sys, threading
        def make():
            return livereel.Engine(record_dir=sys.argv[1], rtmp_listen="127.0.0.1:0", record_threads=1)
        async def main():
            global engine, never_started, events, waiting
            engine, never_started = make(), make()
            engine.on_event(lambda event: None)
            await engine.start_async()
            events = [engine.events(), never_started.events()]
            waiting = [asyncio.ensure_future(queue.__anext__()) for queue in events]
            await asyncio.sleep(0)
        asyncio.run(main())
        threading.Thread(target=lambda: list(engine.events()), daemon=True).start()
        """,
        str(tmp_path),
    )
    out, err = child.communicate(timeout=DEADLINE)
    assert (child.returncode, out, err) == (0, "", "")


def test_a_forked_child_can_only_drop_the_engine(engine: livereel.Engine, publish: Callable[..., Any]) -> None:
    events = engine.events(timeout=DEADLINE)
    with engine:
        publish(engine, forever=True)
        started = until(events, "recording_started")[-1]
        session = engine.session(started.media_session_id or "")
        recording = engine.recording(started.recording_id or "")
        calls: list[Callable[[], Any]] = [
            engine.start,
            engine.sessions,
            engine.events,
            engine.recover,
            lambda: engine.address("rtmp"),
            lambda: next(events),
            lambda: session.id,
            session.record,
            recording.stop,
        ]
        child = os.fork()
        if child == 0:
            wrong = len(calls)
            try:
                for call in calls:
                    try:
                        call()
                    except livereel.ForkedError:
                        wrong -= 1
                engine.stop()
                events.close()
                del calls, call, engine, events, session, recording
                gc.collect()
            finally:
                os._exit(wrong)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        # The parent's recording did not notice.
        assert [info.recording_id for info in engine.recordings()] == [recording.id]
    assert [event.event for event in events].count("file_finished") == 1


def test_a_child_that_forks_and_exits_as_usual_leaves_the_engine_of_its_parent_alone(
    run_program: Callable[..., Any], tmp_path: Path
) -> None:
    child = run_program(
        """
        import livereel, os, sys
        engine = livereel.Engine(record_dir=sys.argv[1], rtmp_listen="127.0.0.1:0", record_threads=1)
        engine.start()
        child = os.fork()
        if child == 0:
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(engine.sessions()))
        """,
        str(tmp_path),
    )
    out, err = child.communicate(timeout=DEADLINE)
    assert (child.returncode, out) == (0, "3 0\n"), err


def _record_in_a_worker(settings: dict[str, Any], queue: "multiprocessing.Queue[Any]") -> None:
    engine = livereel.Engine(**settings)
    events = engine.events(timeout=DEADLINE)
    with engine:
        queue.put(engine.address("rtmp"))
        for event in events:
            if isinstance(event, livereel.FileFinished):
                queue.put(event)
                break


def test_an_engine_works_in_a_spawned_worker(settings: dict[str, Any], publish: Callable[..., Any]) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_record_in_a_worker, args=(settings, queue))
    worker.start()
    publish(queue.get(timeout=DEADLINE))
    file = queue.get(timeout=DEADLINE)
    worker.join(DEADLINE)
    assert worker.exitcode == 0
    assert isinstance(file, livereel.FileFinished) and file.path.is_file()


def test_many_threads_may_use_one_engine(engine: livereel.Engine, publish: Callable[..., Any]) -> None:
    faults: list[BaseException] = []
    done = threading.Event()

    def use() -> None:
        try:
            while not done.is_set():
                for info in engine.sessions():
                    try:
                        engine.session(info.media_session_id).info
                    except livereel.NotFoundError:
                        pass
                engine.events().close()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=use) for _ in range(4)]
    with engine:
        for thread in threads:
            thread.start()
        publish(engine).wait()
    done.set()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert faults == []
