"""Parts laid end to end are the unrotated recording, and their names say which is which."""

import re

import media
import publishers
import pytest
import sources


def laid_end_to_end(events):
    """The packets' hashes of all parts by kind; every part is a good file of its own."""
    hashes = {}
    for event in events:
        for kind, track in media.assert_good(event["path"]).items():
            hashes.setdefault(kind, []).extend(track.hashes)
    return hashes


@pytest.mark.parametrize("formats", ["h264-mp4", "h264-ts"], ids=["mp4", "ts"])
@pytest.mark.parametrize("rotation, parts", [("5s", 12), ("1M", 4)], ids=["by-duration", "by-size"])
def test_parts_laid_end_to_end_are_the_whole(serve, rotation, parts, formats):
    server = serve(record_rotation=rotation, record_formats=formats)
    source = media.source(sources.second_gop_flv())
    publishers.run(publishers.load(sources.second_gop_flv(), server.url(), speed=10))
    whole = server.wait_for("recording_finished", stream_name="load-0")
    events = server.named("file_finished", stream_name="load-0")
    assert whole["parts"] == len(events) and len(events) >= parts
    assert laid_end_to_end(events) == {kind: track.hashes for kind, track in source.items()}

    assert [event["part"] for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert re.search(rf"_{event['part']}\.(mp4|ts)$", event["file_name"]), event["file_name"]
    for before, after in zip(events, events[1:]):
        assert before["end_time_ms"] == after["start_time_ms"]
    if rotation == "5s":
        assert all(abs(event["duration_ms"] - 5000) < 100 for event in events[:-1])
    server.stop()


def test_a_room_is_never_rotated(serve):
    server = serve(record_rotation="2s")
    publishers.run(publishers.load(sources.second_gop_flv(), server.url(), speed=10, seconds=10, query="room=lobby"))
    server.finished("load-0")
    server.stop()


def test_audio_alone_rotates_at_any_frame(serve):
    server = serve(record_rotation="2s")
    publishers.run(publishers.load(sources.audio_only_flv(), server.url(), speed=10))
    server.wait_for("recording_finished", stream_name="load-0")
    events = server.named("file_finished", stream_name="load-0")
    assert len(events) >= 3
    assert all(2000 <= event["duration_ms"] < 2025 for event in events[:-1])
    source = media.source(sources.audio_only_flv())
    assert laid_end_to_end(events) == {"audio": source["audio"].hashes}
    server.stop()


def test_a_name_follows_its_template(serve):
    template = "{streamName}-{startTime}-{endTime}-{videoCodec}-{audioCodec}-{duration}"
    server = serve(stream_record_policy_template=template)
    publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0))
    event, path = server.finished("load-0")
    expected = f"load-0-{event['start_time_ms']}-{event['end_time_ms']}-H264-AAC-{event['duration_ms']}.mp4"
    assert path.name.lower() == expected.lower()
    started = server.named("recording_started")[0]["file_name"]
    assert "{endTime}" in started and "{duration}" in started
    server.stop()


@pytest.mark.parametrize("name", ["../../escape", "a/b", "-rf", ".hidden", "q\"uo'te", "x" * 400], ids=range(6))
def test_no_stream_name_leaves_the_record_folder(serve, name):
    server = serve(stream_record_policy_template="{streamName}")
    publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0, prefix=name))
    event = server.wait_for("file_finished")
    assert len(event["file_name"].encode()) <= 255 and not event["file_name"].startswith(".")
    server.stop()
    assert [path.name for path in server.folder.iterdir()] == [event["file_name"]]
