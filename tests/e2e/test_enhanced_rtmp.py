"""Codecs beyond H.264 and AAC over RTMP: by FourCC from ffmpeg 9, and HEVC by codec number 12."""

import subprocess

import media
import publishers
import pytest
import rest
import sources
import test_rtmp_pull as pulls

#: Encoders of 5 s, and the settings that keep each codec as it comes.
PICTURES = {
    "hevc": ["-c:v", "libx265", "-x265-params", "bframes=2:keyint=30:log-level=error", "-tag:v", "hvc1"],
    "av1": ["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "30"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "30"],
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "30"],
}
SOUND = {"opus": ["-c:a", "libopus", "-b:a", "64k"], "aac": ["-c:a", "aac"]}


def source(video, audio):
    inputs = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30", *sources.AUDIO, "-t", "5"]
    return sources._ffmpeg(f"enhanced-{video}-{audio}.mp4", [*inputs, *PICTURES[video], *SOUND[audio], "-strict", "-2"])


AS_IT_COMES = {"record_formats": "h264-mp4,h265-mp4,av1-mp4,vp9-mp4", "mp4_audio_codec": "copy"}


def serve_as_it_comes(serve):
    return serve(**AS_IT_COMES)


@pytest.mark.parametrize(("video", "audio"), [("hevc", "aac"), ("hevc", "opus"), ("av1", "opus"), ("vp9", "opus"), ("h264", "opus")])
def test_what_ffmpeg_sends_by_fourcc_comes_out_packet_for_packet(serve, video, audio):
    server = serve_as_it_comes(serve)
    sent = source(video, audio)
    publishers.run(publishers.ffmpeg(sent, server.url("enhanced"), binary=publishers.FFMPEG_9))
    event, path = server.finished("enhanced")
    assert (event["video_codec"], event["audio_codec"]) == ({"hevc": "h265"}.get(video, video), audio)
    media.assert_same(sent, path)
    media.opens(path)
    for track in event["tracks"]:
        assert track["samples_in"] == track["samples_written"] and not track["gaps"]
    server.stop()


def plain_hevc(enhanced):
    """An FLV with the HEVC of an enhanced one by codec number 12, as many encoders send it."""
    flv, out, at = enhanced.read_bytes(), bytearray(), 13
    out += flv[:13]
    while at + 11 < len(flv):
        length = int.from_bytes(flv[at + 1 : at + 4], "big")
        header, body = flv[at : at + 11], flv[at + 11 : at + 11 + length]
        at += 11 + length + 4
        if header[0] == 9 and body[0] & 0x80:
            assert body[1:5] == b"hvc1"
            first, kind, rest = (body[0] & 0x70) | 12, body[0] & 15, body[5:]
            if kind not in (0, 1, 3):
                continue
            # A header and a frame without composition time have three zeros in its place.
            body = bytes([first, int(kind != 0)]) + (rest if kind == 1 else bytes(3) + rest)
        out += header[:1] + len(body).to_bytes(3, "big") + header[4:] + body
        out += (11 + len(body)).to_bytes(4, "big")
    return bytes(out)


def test_hevc_by_codec_number_12_comes_out_packet_for_packet(serve, tmp_path):
    sent = source("hevc", "aac")
    enhanced, plain = tmp_path / "enhanced.flv", tmp_path / "plain.flv"
    subprocess.run([publishers.FFMPEG_9, "-v", "error", "-i", sent, "-c", "copy", enhanced], check=True)
    plain.write_bytes(plain_hevc(enhanced))
    server = serve_as_it_comes(serve)
    publishers.run(publishers.load(plain, server.url(), seconds=4))
    event, path = server.finished("load-0")
    assert event["video_codec"] == "h265"
    assert media.assert_is_beginning(sent, path) > 3500
    server.stop()


def test_hevc_goes_into_ts_and_av1_with_opus_into_webm(serve):
    for video, formats, suffix in [("hevc", "h265-ts", ".ts"), ("av1", "av1-webm", ".webm"), ("vp9", "vp9-webm", ".webm")]:
        server = serve(record_formats=formats)
        sent = source(video, "opus")
        publishers.run(publishers.ffmpeg(sent, server.url("enhanced"), binary=publishers.FFMPEG_9))
        event, path = server.finished("enhanced")
        assert path.suffix == suffix
        media.opens(path)
        frames = media.read(sent)["video"].packets
        assert len(media.read(path)["video"].packets) == len(frames)
        assert abs(event["duration_ms"] - 5000) < 100
        server.stop()


def test_tracks_beside_the_first_of_their_kind_are_counted_as_dropped(serve):
    server = serve_as_it_comes(serve)
    sent = source("hevc", "opus")
    command = publishers.ffmpeg(sent, server.url("enhanced"), binary=publishers.FFMPEG_9)
    # Two of each in one stream: ffmpeg sends the second as Enhanced RTMP's multitrack.
    twice = [word for kind in "vvaa" for word in ("-map", f"0:{kind}")]
    publishers.run(command[: command.index("-c")] + twice + command[command.index("-c") :])
    event, path = server.finished("enhanced")
    media.assert_same(sent, path)
    for track in event["tracks"]:
        assert track["dropped"] == {"multitrack": track["samples_written"]}
        assert track["samples_in"] == 2 * track["samples_written"]
    server.stop()


@pytest.mark.parametrize(("video", "audio"), [("hevc", "opus"), ("av1", "aac"), ("vp9", "opus")])
def test_what_ffmpeg_serves_by_fourcc_is_pulled_packet_for_packet(serve, video, audio):
    sent, url = source(video, audio), f"rtmp://127.0.0.1:{pulls.free_port()}/live/cam"
    server = pulls.puller(serve, **AS_IT_COMES)
    session = pulls.pull(server, url)
    command = publishers.ffmpeg(sent, url, binary=publishers.FFMPEG_9)
    publishers.run([*command[:-1], "-listen", "1", url])
    server.wait_for("session_interrupted", media_session_id=session)
    assert rest.call(server, "pull/terminate", mediaSessionId=session).status == 200
    event, path = server.finished("pulled")
    assert (event["video_codec"], event["audio_codec"]) == ({"hevc": "h265"}.get(video, video), audio)
    media.assert_same(sent, path)
    server.stop()
