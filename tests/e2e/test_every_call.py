"""SIGKILL at the n-th write, sync, rename, link and removal of a short recording that rotates, until a
run passes; and the same of the recovery itself. REEL_SOAK=1 takes every n, the default run some of them."""

import os
import shutil

import faults
import media
import publishers
import pytest
import sources

#: Each name, and how many calls of it three parts take at the very least.
LEAST_KILLS = {"pwritev": 8, "fdatasync": 3, "fsync": 8, "renameat2": 2, "linkat": 5, "unlinkat": 2}
CALLS = list(LEAST_KILLS)
#: Recovery renames and removes: it makes no file by link and writes only where something is to be mended.
OF_RECOVERY = ["pwritev", "fdatasync", "fsync", "renameat2", "unlinkat"]

#: The calls of a name that the default run takes: the first ones, and some on the way.
SOME = (1, 2, 4, 7)

#: No run makes so many calls of a name: the loop ends long before.
MOST_CALLS = 200

SOAK = bool(os.environ.get("REEL_SOAK"))

CONTAINERS = pytest.mark.parametrize("formats", ["h264-mp4", "h264-ts"], ids=["mp4", "ts"])


def assert_the_folder_is_sound(folder, reported):
    """Nothing grows any more, nothing is empty, every file is a good one and was reported."""
    names = {path.name for path in folder.iterdir()}
    assert not [name for name in names if "growing" in name], names
    assert all(path.stat().st_size > 0 for path in folder.iterdir()), names
    assert names == reported, (names, reported)


def assert_beginning_of_the_source(events):
    """The parts that there are lie end to end; those that were never begun are missing at the end only."""
    by_part = {event["part"]: event for event in events}
    assert sorted(by_part) == list(range(1, len(by_part) + 1)), sorted(by_part)
    paths = [event["path"] for _, event in sorted(by_part.items())]
    if paths:
        media.assert_parts_are_beginning(media.source(sources.short_flv()), paths)


def recover(serve, folder, formats):
    """The events of a start that finds what was left; the start after it finds nothing."""
    server = serve(folder=folder, record_formats=formats)
    server.stop()
    recovered = server.named("recovered")
    assert len({event["path"] for event in recovered}) == len(recovered), "told twice in one start"
    again = serve(folder=folder, record_formats=formats)
    again.stop()
    assert not again.named("recovered") and not again.named("warning")
    return recovered


def record(serve, folder, formats, wrapper):
    """A recording of three parts by one writer thread, up to its end or the server's."""
    server = serve(
        folder=folder, wrapper=wrapper, record_formats=formats, record_threads=1,
        record_rotation="2s", record_sync_interval=100,
    )
    publisher = publishers.load(sources.short_flv(), server.url(), speed=10)
    publishers.subprocess.run(publisher, capture_output=True, timeout=60)
    return server


@CONTAINERS
@pytest.mark.parametrize("call", CALLS)
def test_a_kill_at_any_call_leaves_what_the_next_start_finishes(serve, tmp_path, formats, call):
    for n in range(1, MOST_CALLS) if SOAK else SOME:
        folder, log = tmp_path / f"records-at-{n}", tmp_path / f"{n}.strace"
        server = record(serve, folder, formats, faults.inject(call, "signal=SIGKILL", log, n))
        passed = ended_by_itself(server)
        told = server.named("file_finished")
        recovered = recover(serve, folder, formats)
        events = {event["path"]: event for event in [*told, *recovered]}
        assert_the_folder_is_sound(folder, {event["file_name"] for event in events.values()})
        assert_beginning_of_the_source(events.values())
        shutil.rmtree(folder)
        if passed:
            assert not recovered
            assert n > LEAST_KILLS[call], f"only {n - 1} kills: is the fault injected at all?"
            return
    assert not SOAK, f"still killed at call {MOST_CALLS} of {call}"


def ended_by_itself(server):
    """Whether the server lived to the end of the recording; then it is stopped."""
    with server.changed:
        server.changed.wait_for(lambda: server.output_ended or server.named("recording_finished"), 30)
    if server.output_ended:
        server.process.wait(10)
        return False
    try:
        server.stop()
    except AssertionError:
        # Killed between the last event and the end: a call of the clean-up.
        assert server.process.poll() == -9
        return False
    return True


@CONTAINERS
@pytest.mark.parametrize("call", OF_RECOVERY)
def test_a_recovery_that_is_killed_at_any_call_is_finished_by_the_next(serve, tmp_path, formats, call):
    crashed = tmp_path / "crashed"
    server = serve(folder=crashed, record_formats=formats, record_threads=1)
    with publishers.running(publishers.load(sources.second_gop_flv(), server.url(), 2, speed=4)):
        server.wait_for("recording_started", count=2)
        with pytest.raises(AssertionError):
            server.wait_for("recording_finished", deadline_s=1)
        server.kill()
    assert len(server.growing()) == 2

    for n in range(1, MOST_CALLS) if SOAK else SOME:
        folder, log = tmp_path / f"records-at-{n}", tmp_path / f"{n}.strace"
        shutil.copytree(crashed, folder)
        killed = serve_until_killed(folder, formats, faults.inject(call, "signal=SIGKILL", log, n))
        recovered = recover(serve, folder, formats)
        told = {event["path"]: event for event in [*killed.named("recovered"), *recovered]}
        assert len(told) == 2, (n, sorted(path.name for path in folder.iterdir()), killed.events, killed.log.read_text()[-3000:])
        assert_the_folder_is_sound(folder, {event["file_name"] for event in told.values()})
        for path in told:
            media.opens(path)
            assert media.assert_is_beginning(media.source(sources.second_gop_flv()), path) > 1000
        shutil.rmtree(folder)
        if killed.process.returncode == 0:
            assert n > 1, "not one kill: is the fault injected at all?"
            return
    assert not SOAK, f"still killed at call {MOST_CALLS} of {call}"


def serve_until_killed(folder, formats, wrapper):
    """A server that recovers, and is stopped where nothing killed it."""
    from server import Server

    server = Server(folder, wrapper=wrapper, record_formats=formats)
    try:
        server.start()
        server.stop()
    except AssertionError:
        assert server.process.wait(10) == -9, server.log.read_text()[-2000:]
    with server.changed:
        server.changed.wait_for(lambda: server.output_ended, 10)
    return server
