"""A disk that is full, or has too little room: what was written is finished and plays, the cause is told,
and other servers go on."""

import disks
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
