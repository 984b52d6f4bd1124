"""A disk that is full, slow or broken, a folder that is gone, too many open files: what was written is
finished and plays where that is possible at all, the cause is told, and other servers go on."""

import shutil
import subprocess

import disks
import faults
import media
import publishers
import pytest
import sources


@disks.needs_root
@pytest.mark.parametrize("formats", ["h264-mp4", "h264-ts"], ids=["mp4", "ts"])
def test_a_full_disk_ends_its_own_recordings_and_keeps_what_was_written(serve, tmp_path, formats):
    other = serve(record_formats=formats)
    with disks.tmpfs(tmp_path, "1m") as folder:
        server = serve(folder=folder / "records", record_formats=formats)
        source = sources.rated_flv("1M")
        with publishers.running(publishers.load(source, other.url())) as unharmed:
            publishers.run(publishers.load(source, server.url(), seconds=12))
            failed = server.wait_for("recording_failed")
            finished = server.wait_for("recording_finished")
            assert failed["code"] == "disk_full", failed
            assert finished["reason"] == "disk_full"
            file = server.wait_for("file_finished")
            assert file["reason"] == "disk_full" and file["duration_ms"] > 1000
            for track in file["tracks"]:
                assert track["samples_in"] == track["samples_written"] + sum(track["dropped"].values())
            media.assert_decodes_silently(file["path"])
            assert unharmed.poll() is None
            server.stop()
    assert not other.named("recording_failed")


def test_too_little_free_space_is_told_and_nothing_is_begun(serve):
    server = serve(record_min_free_space="900000G")
    publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0))
    failed = server.wait_for("recording_failed")
    assert failed["code"] == "disk_full" and "record_min_free_space" in failed["message"]
    server.wait_for("session_ended")
    server.stop()
    assert not server.named("file_finished")


def test_what_cannot_be_read_is_left_beside_a_reason_and_told_once(serve, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    stranger = folder / "0b4e2a9c-1.mp4.growing"
    stranger.write_bytes(b"this is no MP4" * 1000)
    server = serve(folder=folder)
    warning = server.wait_for("warning", code="not_recovered")
    assert stranger.name in warning["message"]
    server.process.terminate()
    server.process.wait()
    assert stranger.read_bytes() == b"this is no MP4" * 1000
    assert "MP4" in (folder / "0b4e2a9c-1.mp4.growing.reason.txt").read_text()
    again = serve(folder=folder)
    again.process.terminate()
    again.process.wait()
    assert not again.named("warning", code="not_recovered")
    assert stranger.exists()


def assert_balanced(file):
    for track in file["tracks"]:
        assert track["samples_in"] == track["samples_written"] + sum(track["dropped"].values()), track


@pytest.mark.parametrize("formats", ["h264-mp4", "h264-ts"], ids=["mp4", "ts"])
@pytest.mark.parametrize(("call", "when"), [("pwritev", "8+"), ("fdatasync", "3+")])
def test_an_i_o_error_ends_the_recording_and_the_next_start_finishes_it(serve, tmp_path, formats, call, when):
    other = serve(record_formats=formats)
    wrapper = faults.inject(call, "error=EIO", tmp_path / "strace", when)
    folder = tmp_path / "failing"
    server = serve(folder=folder, wrapper=wrapper, record_formats=formats, record_threads=1)
    source = sources.second_gop_flv()
    with publishers.running(publishers.load(source, other.url())) as unharmed:
        with publishers.running(publishers.load(source, server.url())):
            failed = server.wait_for("recording_failed")
            finished = server.wait_for("recording_finished")
        assert (failed["code"], finished["reason"]) == ("io", "io_error")
        assert unharmed.poll() is None
    server.kill()
    again = serve(folder=folder, record_formats=formats)
    again.process.terminate()
    again.process.wait()
    files = [*server.named("file_finished"), *again.named("recovered")]
    assert len(files) == 1, files
    media.opens(files[0]["path"])
    assert media.assert_is_beginning(media.source(source), files[0]["path"]) > 500
    other.wait_for("recording_finished")
    assert not other.named("recording_failed")


@pytest.mark.parametrize("rotation", ["disabled", "1s"])
def test_a_record_folder_that_is_removed_ends_its_recordings_and_says_so(serve, tmp_path, rotation):
    other = serve()
    folder = tmp_path / "removed"
    server = serve(folder=folder, record_rotation=rotation)
    source = sources.second_gop_flv()
    with publishers.running(publishers.load(source, other.url())) as unharmed:
        with publishers.running(publishers.load(source, server.url(), seconds=6)) as publisher:
            server.wait_for("recording_started")
            shutil.rmtree(folder)
            publisher.wait(30)
        server.wait_for("session_ended")
        failed = server.wait_for("recording_failed")
        server.wait_for("recording_finished")
        assert failed["code"] in ("not_found", "io"), failed
        assert unharmed.poll() is None
    server.process.terminate()
    assert server.process.wait(30) == 0
    assert not other.named("recording_failed")


@disks.needs_root
def test_a_folder_that_becomes_read_only_keeps_what_was_written(serve, tmp_path):
    with disks.ext4(tmp_path) as disk:
        folder = disk.folder / "records"
        server = serve(folder=folder)
        source = sources.second_gop_flv()
        with publishers.running(publishers.load(source, server.url())):
            server.wait_for("recording_started")
            server.wait_for_bytes(200_000)
            # As the kernel does it after an error of the disk: writers are cut off.
            disk.make_read_only()
            failed = server.wait_for("recording_failed")
            assert failed["code"] in ("io", "access_denied"), failed
            server.wait_for("recording_finished")
        server.kill()
        disk.unmount()
        disk.mount()
        again = serve(folder=folder)
        again.stop()
        (event,) = again.named("recovered")
        media.assert_good(event["path"])
        assert media.assert_is_beginning(media.source(source), event["path"]) > 500


def test_without_descriptors_a_new_recording_fails_and_the_running_ones_go_on(serve, tmp_path):
    server = serve()
    source = sources.second_gop_flv()
    with publishers.running(publishers.load(source, server.url(), prefix="old")):
        server.wait_for("recording_started")
        # The socket of one more publisher finds room, its files do not.
        subprocess.run(["prlimit", "--pid", str(server.process.pid), f"--nofile={server.descriptors() + 1}:4096"], check=True)
        with publishers.running(publishers.load(source, server.url(), prefix="new", seconds=5)):
            failed = server.wait_for("recording_failed", stream_name="new-0")
        assert "open files" in failed["message"].lower(), failed
        subprocess.run(["prlimit", "--pid", str(server.process.pid), "--nofile=4096:4096"], check=True)
        server.wait_for_bytes(300_000)
    server.wait_for("recording_finished", stream_name="old-0")
    server.stop()
    (file,) = server.named("file_finished", stream_name="old-0")
    media.assert_good(file["path"])
    assert_balanced(file)


@disks.needs_root
def test_a_stalled_disk_holds_its_own_recordings_within_a_bound_of_memory(serve, tmp_path):
    other = serve()
    with disks.ext4(tmp_path) as disk:
        server = serve(folder=disk.folder / "records")
        source = sources.rated_flv("20M")
        with publishers.running(publishers.load(source, other.url(), seconds=14)) as unharmed:
            with publishers.running(publishers.load(source, server.url(), seconds=12)) as publisher:
                server.wait_for("recording_started")
                with disk.frozen():
                    # 20 Mb/s for 10 s are 25 MB: more than a recording may hold in memory.
                    with pytest.raises(subprocess.TimeoutExpired):
                        publisher.wait(10)
                publisher.wait(60)
            event, path = server.finished("load-0")
            assert server.memory_kib() < 96 * 1024
            assert_balanced(event)
            media.opens(path)
            unharmed.wait(60)
        server.stop()
    event, path = other.finished("load-0")
    assert not any(track["dropped"] for track in event["tracks"]), event["tracks"]
