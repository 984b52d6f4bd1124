"""Cameras are pulled over RTSP: GStreamer's server and VLC's, every codec, TCP and UDP, gone and back."""

import os
import time

import av
import cameras
import media
import pytest
import rest
import sources

#: Real-time media of browsers and cameras, which judges starve where others run beside it.
pytestmark = pytest.mark.alone

#: 90 kHz against the finer ticks of files, twice rounded; Matroska's own times are whole milliseconds.
TICK_MS = 2 / 90
MATROSKA_MS = 1.0

#: What a camera's picture may be off by in the timeline after it was away: one picture.
PICTURE_S = 1 / 30

#: How late a busy machine may bring one: the tests run several at a time.
BUSY_S = 0.25


def pull(server, camera, name, credentials=""):
    answer = rest.call(server, "pull/startup", uri=camera.url(name, credentials), streamName=name)
    assert answer.status == 200, answer.body
    return answer.json["mediaSessionId"]


def terminate(server, session):
    assert rest.call(server, "pull/terminate", mediaSessionId=session).status == 200


def puller(serve, **settings):
    return serve(
        **{
            "http_listen": "127.0.0.1:0",
            "pull_allowed_hosts": "127.0.0.0/8",
            "mp4_audio_codec": "copy",
            "pull_retry_max_delay": 500,
            **settings,
        }
    )


@pytest.mark.skipif(not os.environ.get("REEL_SOAK"), reason="judges milliseconds: run alone, with REEL_SOAK=1")
@pytest.mark.parametrize("transport,auth", [("tcp", "digest"), ("udp", "basic"), ("udp", None)])
def test_every_codec_is_recorded_packet_for_packet(serve, transport, auth):
    files = sources.rtsp_files()
    server = puller(serve, rtsp_transport=transport)
    with cameras.Camera(files, **({"auth": auth} if auth else {})) as camera:
        credentials = "reel:s3cret@" if auth else ""
        sessions = {name: pull(server, camera, name, credentials) for name in files}
        for name, session in sessions.items():
            interrupted = server.wait_for("session_interrupted", stream_name=name)
            assert interrupted["reason"] == "unpublished", name
            terminate(server, session)
        for name, path in files.items():
            event, recorded = server.finished(name)
            (ended,) = server.named("session_ended", stream_name=name)
            assert ended["link"]["packets_lost"] == 0
            assert all(not track["dropped"] for track in event["tracks"]), event
            tracks = media.assert_good(recorded)
            if name in ("pcma", "pcmu"):
                # Transcoded: 4 s of it, and all that came in.
                assert abs(event["duration_ms"] - 4000) <= 100, event
                continue
            tolerance = MATROSKA_MS if path.suffix == ".mkv" else TICK_MS
            if name == "opus":
                # The first packet is 6.5 ms before the start: GStreamer sends it at 0.
                tolerance = 4
            for kind, expected in media.read(path).items():
                # Each by itself: how the tracks lie to each other is the server's clock's to say.
                media.assert_same({kind: expected}, {kind: tracks[kind]}, tolerance)
    server.stop()


def test_a_wrong_password_and_a_wrong_path_are_told_in_words(serve):
    server = puller(serve)
    with cameras.Camera({"door": sources.rtsp_files()["h264"]}, auth="digest") as camera:
        for name, credentials, words in [
            ("door", "reel:wrong@", "the user name or the password"),
            ("garden", "reel:s3cret@", "no stream of this path"),
            ("door", "", "asks for a user name"),
        ]:
            count = len(server.named("warning"))
            session = pull(server, camera, name, credentials)
            warning = server.wait_for("warning", count=count + 1)
            assert warning["code"] == "pull_failed" and words in warning["message"], warning
            # It never was a session to the events: nothing of it ends.
            terminate(server, session)
    server.stop()


def numbered(path):
    """The camera's number of each picture of a file, and when it is shown, in seconds."""
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            data = bytes(packet)
            at = data.find(b"livereel-frame-n")
            number = None
            if at >= 0:
                digits = data[at + 16 : at + 32]
                number = int("".join(f"{digit & 15:x}" for digit in digits), 16)
            pictures.append((number, float(packet.pts * stream.time_base)))
    # Who looks on from the middle of a picture has missed its SEI message.
    after = zip(pictures, [*pictures[1:], (None, 0)])
    return [(number if number is not None else following - 1, shown) for (number, shown), (following, _) in after]


@pytest.mark.minute
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_killed_ten_times_leaves_one_recording_with_ten_gaps_of_the_right_length(serve, transport):
    server = puller(serve, rtsp_transport=transport, pull_idle_timeout=5000)
    with cameras.Camera({"door": f"frames:{sources.camera_h264()}"}) as camera:
        session = pull(server, camera, "door")
        server.wait_for("recording_started")
        for turn in range(10):
            time.sleep(1.5)
            camera.kill()
            server.wait_for("session_interrupted", count=turn + 1)
            camera.start()
            server.wait_for("session_resumed", count=turn + 1)
        time.sleep(1)
        terminate(server, session)
        event, path = server.finished("door")
    server.stop()
    assert len(server.named("session_published")) == 1
    media.assert_good(path)
    pictures = numbered(path)
    (track,) = event["tracks"]
    assert len(pictures) == track["samples_written"] == track["samples_in"] - sum(track["dropped"].values())
    gaps = [gap for gap in track["gaps"] if gap["cause"] == "reconnect"]
    missing = [after - before - 1 for (before, _), (after, _) in zip(pictures, pictures[1:]) if after != before + 1]
    assert len(gaps) == len(missing) == len(track["gaps"]) == 10, (gaps, missing)
    errors = sorted(abs(gap["length_ms"] / 1000 - count / 30) for gap, count in zip(gaps, missing))
    # By when pictures arrive: a busy machine brings the first one of a connection late now and then.
    assert errors[5] <= PICTURE_S and errors[-1] <= BUSY_S, errors


def test_vlc_which_sends_over_udp_only_is_recorded_packet_for_packet(serve):
    source = sources.minute_mp4()
    server = puller(serve, rtsp_transport="udp")
    with cameras.vlc(source) as url:
        answer = rest.call(server, "pull/startup", uri=url, streamName="vlc")
        server.wait_for("recording_started", stream_name="vlc")
        time.sleep(4)
        terminate(server, answer.json["mediaSessionId"])
        _, path = server.finished("vlc")
    # It plays from its own beginning on, whoever comes: what is recorded is in the file without a hole.
    got, expected = media.read(path), media.source(source)
    assert sorted(got) == ["audio", "video"]
    for kind, track in got.items():
        hashes = expected[kind].hashes
        first = hashes.index(track.hashes[0])
        assert track.hashes == hashes[first : first + len(track.hashes)] and len(track.hashes) > 60, kind
    server.stop()
