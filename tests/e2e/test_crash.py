"""A crash and a power cut in mid-recording: the file that grew opens, and little of it is missing."""

import disks
import media
import publishers
import pytest
import sources

SYNC_INTERVAL_MS = 1000
FRAGMENT_MS = 1000  # the key-frame distance of the source, and the longest fragment
NOTICE_MS = 100  # until the publisher knows that its server is gone

CONTAINERS = pytest.mark.parametrize("formats", ["h264-mp4", "h264-ts"], ids=["mp4", "ts"])


def record_until(server, seconds, end):
    """Publishes in real time, runs `end` after so many seconds, and tells the last time that was sent."""
    source = sources.second_gop_flv()
    with publishers.running(publishers.load(source, server.url())) as publisher:
        server.wait_for("recording_started", stream_name="load-0")
        with pytest.raises(publishers.subprocess.TimeoutExpired):
            publisher.wait(seconds)
        end()
        output, _ = publisher.communicate(timeout=30)
    return publishers.summary(output)["streams"][0]["last_ms"]


def assert_little_is_missing(path, sent_ms):
    """The file opens with both ffprobes and holds all but the last moments of what was sent."""
    for ffprobe in ("ffprobe", media.FFPROBE_8):
        media.opens(path, ffprobe)
    end_ms = media.assert_is_beginning(media.source(sources.second_gop_flv()), path, torn=True)
    missing_ms = sent_ms - end_ms
    limit_ms = SYNC_INTERVAL_MS + FRAGMENT_MS + NOTICE_MS
    assert missing_ms <= limit_ms, f"{missing_ms:.0f} ms of {sent_ms} are missing, allowed are {limit_ms}"


def assert_recovered_once(serve, folder, sent_ms, formats):
    """The next start finishes the file and says so; the one after that has nothing to do."""
    server = serve(folder=folder, record_formats=formats)
    event = server.wait_for("recovered")
    server.stop()
    assert len(server.named("recovered")) == 1
    media.assert_good(event["path"])
    assert_little_is_missing(event["path"], sent_ms)
    server = serve(folder=folder, record_formats=formats)
    server.stop()
    assert not server.named("recovered")


@CONTAINERS
def test_a_killed_server_leaves_a_growing_file_that_opens(serve, formats):
    server = serve(record_formats=formats)
    sent_ms = record_until(server, 6.5, server.kill)
    (growing,) = server.growing()
    assert_little_is_missing(growing, sent_ms)
    assert_recovered_once(serve, server.folder, sent_ms, formats)


@disks.needs_root
@CONTAINERS
def test_a_power_cut_leaves_a_growing_file_that_opens(serve, tmp_path, formats):
    with disks.ext4(tmp_path) as disk:
        server = serve(folder=disk.folder / "records", record_formats=formats)

        def cut():
            disk.cut_power()
            server.kill()

        sent_ms = record_until(server, 6.5, cut)
        disk.unmount()
        disk.mount()
        (growing,) = server.growing()
        assert_little_is_missing(growing, sent_ms)
        assert_recovered_once(serve, server.folder, sent_ms, formats)


@disks.needs_root
@CONTAINERS
def test_a_full_disk_ends_the_recording_with_what_was_written(serve, tmp_path, formats):
    with disks.tmpfs(tmp_path) as folder:
        server = serve(folder=folder, record_formats=formats)
        publisher = publishers.load(sources.minute_flv(), server.url(), speed=8)
        publishers.subprocess.run(publisher, capture_output=True, timeout=60)
        failed = server.wait_for("recording_failed", stream_name="load-0")
        assert failed["code"] == "disk_full"
        event = server.wait_for("file_finished", stream_name="load-0")
        media.assert_good(event["path"])
        assert media.assert_is_beginning(media.source(sources.minute_flv()), event["path"]) > 5000
        server.stop()
