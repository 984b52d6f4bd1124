"""The encoders that people use: each publishes a real stream, and none of it is lost."""

import media
import publishers
import pytest
import sources


@pytest.mark.parametrize("binary", ["ffmpeg", publishers.FFMPEG_9], ids=["ffmpeg-5", "ffmpeg-9"])
def test_ffmpeg_publishes(serve, binary):
    server = serve()
    publishers.run(publishers.ffmpeg(sources.short_flv(), server.url("short"), binary))
    event, path = server.finished("short")
    media.assert_same(media.source(sources.short_flv()), media.assert_good(path))
    assert (event["video_codec"], event["audio_codec"]) == ("h264", "aac")
    server.stop()


@pytest.mark.parametrize("sink", ["rtmp2sink", "rtmpsink"])
def test_gstreamer_publishes(serve, sink):
    server = serve()
    publishers.run(publishers.gstreamer(sources.short_flv(), server.url("short"), sink))
    _, path = server.finished("short")
    tracks = media.assert_good(path)
    for kind, expected in media.source(sources.short_flv()).items():
        assert tracks[kind].hashes == expected.hashes
    server.stop()


def test_mp3_is_recorded_as_aac_or_as_it_is(serve):
    server = serve()
    publishers.run(publishers.load(sources.mp3_flv(), server.url()))
    _, path = server.finished("load-0")
    tracks = media.assert_good(path)
    source = media.source(sources.mp3_flv())
    assert tracks["video"].hashes == source["video"].hashes
    assert tracks["audio"].codec in ("mp3", "mp3float", "aac")
    assert abs(tracks["audio"].packets[-1].pts_ms - tracks["audio"].packets[0].pts_ms - 6000) < 150
    server.stop()


def test_a_publisher_that_closes_without_a_word_loses_nothing(serve):
    server = serve()
    publishers.run(publishers.load(sources.short_flv(), server.url(), abrupt=True))
    _, path = server.finished("load-0")
    media.assert_same(media.source(sources.short_flv()), media.assert_good(path))
    ended = server.wait_for("session_ended", stream_name="load-0")
    assert ended["reason"] == "connection_lost"
    server.stop()


def test_a_publisher_that_is_killed_leaves_a_whole_file_of_what_came(serve):
    server = serve()
    source = sources.second_gop_flv()
    with publishers.running(publishers.ffmpeg(source, server.url("killed"))) as publisher:
        server.wait_for("recording_started", stream_name="killed")
        with pytest.raises(publishers.subprocess.TimeoutExpired):
            publisher.wait(3)  # three seconds of media, in real time
    _, path = server.finished("killed")
    end_ms = media.assert_is_beginning(media.source(source), media.assert_good(path))
    assert end_ms > 1500
    server.stop()


def test_publishers_side_by_side_do_not_mix(serve):
    server = serve()
    streams = {"one": sources.short_flv(), "two": sources.mp3_flv(), "three": sources.video_only_flv()}
    running = [
        publishers.subprocess.Popen(publishers.load(source, server.url(), prefix=name))
        for name, source in streams.items()
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    for name, source in streams.items():
        _, path = server.finished(f"{name}-0")
        tracks, expected = media.assert_good(path), media.source(source)
        assert tracks["video"].hashes == expected["video"].hashes
    server.stop()


def test_one_stream_after_another_under_one_name_makes_two_files(serve):
    server = serve()
    for count in (1, 2):
        publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0))
        server.wait_for("recording_finished", stream_name="load-0", count=count)
    paths = {event["path"] for event in server.named("file_finished")}
    assert len(paths) == 2
    for path in paths:
        media.assert_same(media.source(sources.short_flv()), media.assert_good(path))
    server.stop()
