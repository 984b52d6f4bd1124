"""Events in their order, stops in mid-stream, and what a publisher can ask for."""

import signal

import media
import publishers
import pytest
import sources


def test_the_events_of_a_recording_come_in_order_and_agree(serve):
    server = serve()
    publishers.run(publishers.load(sources.short_flv(), server.url()))
    server.finished("load-0")
    events = server.stop()

    order = ["listening", "session_published", "recording_started", "file_finished", "recording_finished"]
    assert [event["event"] for event in events if event["event"] != "session_ended"] == order
    by_name = {event["event"]: event for event in events}
    assert by_name["session_ended"]["reason"] == "unpublished"

    of_session = [event for event in events if event["event"] != "listening"]
    assert len({event["media_session_id"] for event in of_session}) == 1
    assert len(of_session[0]["media_session_id"]) == 36
    assert {event["stream_name"] for event in of_session} == {"load-0"}
    of_recording = [event for event in events if event["event"] in order[2:]]
    assert len({event["recording_id"] for event in of_recording}) == 1

    published = by_name["session_published"]
    assert published["protocol"] == "rtmp" and published["peer"].startswith("127.0.0.1:")
    facts = {track["kind"]: track for track in published["tracks"]}
    assert (facts["video"]["codec"], facts["video"]["width"], facts["video"]["height"]) == ("h264", 640, 360)
    assert (facts["audio"]["codec"], facts["audio"]["sample_rate"], facts["audio"]["channels"]) == ("aac", 48000, 2)

    file, whole = by_name["file_finished"], by_name["recording_finished"]
    assert whole["parts"] == 1
    assert (whole["size_bytes"], whole["duration_ms"]) == (file["size_bytes"], file["duration_ms"])
    assert file["path"].endswith("/" + file["file_name"])
    assert abs(file["end_time_ms"] - file["start_time_ms"] - 5000) < 100
    assert abs(file["end_unix_ms"] - file["start_unix_ms"] - 5000) < 1000


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_finishes_the_files_of_running_streams(serve, how):
    server = serve()
    source = sources.second_gop_flv()
    with publishers.running(publishers.load(source, server.url(), 3)) as publisher:
        server.wait_for("recording_started", count=3)
        with pytest.raises(publishers.subprocess.TimeoutExpired):
            publisher.wait(3)
        server.stop(how)
    files = server.named("file_finished")
    assert len(files) == 3 and len(server.named("recording_finished")) == 3
    for event in files:
        assert media.assert_is_beginning(media.source(source), media.assert_good(event["path"])) > 1000


def test_a_publisher_can_ask_not_to_be_recorded(serve):
    server = serve()
    command = publishers.load(sources.short_flv(), server.url(), speed=0, query="record=false")
    publishers.run(command)
    server.wait_for("session_ended", stream_name="load-0")
    server.stop()
    assert not server.named("recording_started") and not server.named("file_finished")


def test_a_publisher_can_ask_to_be_recorded_where_recording_is_off(serve):
    server = serve(record_streams=False)
    publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0, prefix="off"))
    publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0, prefix="on", query="record=true"))
    server.finished("on-0")
    server.stop()
    assert not server.named("file_finished", stream_name="off-0")


def test_files_grow_beside_the_record_folder_where_that_is_asked(serve, tmp_path):
    growing = tmp_path / "growing"
    server = serve(record_tmp_dir=growing)
    publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0))
    _, path = server.finished("load-0")
    assert path.parent == server.folder
    media.assert_same(media.source(sources.short_flv()), media.assert_good(path))
    server.stop()
    assert list(growing.iterdir()) == []
