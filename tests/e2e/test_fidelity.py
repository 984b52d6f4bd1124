"""A published file comes out as it went in: every access unit, every timestamp, in MP4 and TS."""

from concurrent.futures import ThreadPoolExecutor

import media
import publishers
import pytest
import sources
from browser import play_while_downloading


@pytest.mark.minute
def test_a_minute_with_b_frames_is_recorded_unchanged_to_mp4_and_ts(serve):
    servers = {"mp4": serve(), "ts": serve(record_formats="h264-ts")}
    source = sources.minute_mp4()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda s: publishers.run(publishers.ffmpeg(source, s.url("minute"))), servers.values()))

    for container, server in servers.items():
        event, path = server.finished("minute")
        assert path.suffix == f".{container}" and event["container"] == container
        tracks = media.assert_good(path)
        media.assert_same(media.source(source), tracks)
        # What ffmpeg put on the wire, already in milliseconds, leaves less room still.
        media.assert_same(media.source(sources.minute_flv()), tracks)
        assert event["size_bytes"] == path.stat().st_size
        assert abs(event["duration_ms"] - 60_000) < 100
        for track in event["tracks"]:
            count = len(tracks[track["kind"]].packets)
            assert (track["samples_in"], track["samples_written"]) == (count, count)
            assert not track["dropped"] and not track["gaps"], track
        server.stop()

    _, path = servers["mp4"].finished("minute")
    play_while_downloading(path, width=640, seconds=60)


def test_audio_alone_is_recorded_unchanged(serve):
    server = serve()
    publishers.run(publishers.load(sources.audio_only_flv(), server.url()))
    event, path = server.finished("load-0")
    tracks = media.assert_good(path)
    assert list(tracks) == ["audio"]
    media.assert_same(media.source(sources.audio_only_flv()), tracks)
    server.stop()


def test_video_alone_is_recorded_unchanged(serve):
    server = serve()
    publishers.run(publishers.load(sources.video_only_flv(), server.url()))
    _, path = server.finished("load-0")
    tracks = media.assert_good(path)
    assert list(tracks) == ["video"]
    media.assert_same(media.source(sources.video_only_flv()), tracks)
    server.stop()


def test_ts_of_audio_alone_and_of_video_alone_plays(serve):
    server = serve(record_formats="h264-ts")
    publishers.run(publishers.load(sources.video_only_flv(), server.url(), prefix="video"))
    _, path = server.finished("video-0")
    media.assert_same(media.source(sources.video_only_flv()), media.assert_good(path))
    # Without video the file is MP4, whatever H.264 is mapped to.
    publishers.run(publishers.load(sources.audio_only_flv(), server.url(), prefix="audio"))
    _, path = server.finished("audio-0")
    assert path.suffix == ".mp4"
    media.assert_same(media.source(sources.audio_only_flv()), media.assert_good(path))
    server.stop()


def test_a_stream_of_one_group_of_pictures_is_recorded_unchanged(serve):
    server = serve()
    publishers.run(publishers.load(sources.long_gop_flv(), server.url()))
    _, path = server.finished("load-0")
    media.assert_same(media.source(sources.long_gop_flv()), media.assert_good(path))
    server.stop()


def test_timestamps_that_wrap_at_32_bits_leave_no_mark(serve):
    server = serve()
    publishers.run(publishers.load(sources.short_flv(), server.url(), start_timestamp=2**32 - 2500))
    event, path = server.finished("load-0")
    media.assert_same(media.source(sources.short_flv()), media.assert_good(path))
    assert abs(event["duration_ms"] - 5000) < 100
    server.stop()


def test_a_format_change_in_mid_stream_loses_no_picture(serve):
    server = serve()
    source = media.source(sources.changing_flv())
    publishers.run(publishers.load(sources.changing_flv(), server.url()))
    server.wait_for("recording_finished", stream_name="load-0")
    parts = [media.assert_good(event["path"]) for event in server.named("file_finished", stream_name="load-0")]
    for kind in ("video", "audio"):
        assert sum((part[kind].hashes for part in parts if kind in part), []) == source[kind].hashes
    server.stop()


def test_timestamps_that_begin_again_lose_no_media_and_give_no_false_duration(serve):
    server = serve()
    source = media.source(sources.restarting_flv())
    publishers.run(publishers.load(sources.restarting_flv(), server.url(), speed=0))
    server.wait_for("recording_finished", stream_name="load-0")
    files = server.named("file_finished", stream_name="load-0")
    parts = [media.assert_good(event["path"]) for event in files]
    for kind in ("video", "audio"):
        assert sum((part[kind].hashes for part in parts), []) == source[kind].hashes
    assert abs(sum(event["duration_ms"] for event in files) - 12_000) < 500
    server.stop()
