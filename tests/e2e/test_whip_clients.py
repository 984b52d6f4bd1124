"""WHIP of other makers than browsers: ffmpeg 9 and libdatachannel, which share no code with them or each other."""

import media
import pytest
import whip_clients
from publishers import running
from rest import address

#: Real-time media of browsers and cameras, which judges starve where others run beside it.
pytestmark = pytest.mark.alone

SETTINGS = {
    "http_listen": "127.0.0.1:0",
    "webrtc_udp_ports": "0",
    "stream_record_policy_template": "{streamName}",
}

SECONDS = 6


def assert_recorded(server, stream, at_least_s):
    event, path = server.finished(stream)
    assert (event["video_codec"], event["audio_codec"], event["container"]) == ("h264", "aac", "mp4")
    assert event["duration_ms"] / 1000 >= at_least_s, event
    assert all(track["dropped"] == {} and track["gaps"] == [] for track in event["tracks"]), event["tracks"]
    media.assert_good(path)
    return path


def test_ffmpeg_publishes(serve):
    server = serve(**SETTINGS)
    with running(whip_clients.ffmpeg(address(server), "ffmpeg", SECONDS)) as publisher:
        assert publisher.wait(60) == 0
    assert_recorded(server, "ffmpeg", SECONDS - 1.2)
    server.stop()


def test_libdatachannel_publishes(serve):
    server = serve(**SETTINGS)
    with whip_clients.node("publish_datachannel.js", whip_clients.url(address(server), "datachannel")) as client:
        started = server.wait_for("recording_started", stream_name="datachannel")
        assert started["file_name"] == "datachannel.mp4"
        server.wait_for_bytes(300_000)
        client.end()
    assert_recorded(server, "datachannel", 2)
    server.stop()
