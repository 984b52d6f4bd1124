"""Gets streams that browsers and other WebRTC clients publish by WHIP.
Gives a failure where the file does not hold what they sent, for as long as they sent it."""

import asyncio
import contextlib
import os
import subprocess
import time

import aiortc
import media
import pytest
import rest
from browser import CHROMIUM, FLAGS
from playwright.sync_api import sync_playwright
from publishers import FFMPEG_9
from server import Server

#: Real-time media of browsers and cameras, which judges starve where others run beside it.
pytestmark = pytest.mark.alone

FAKE_DEVICES = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]

#: A whole WHIP client: publishes the fake camera and microphone for some seconds of media.
CLIENT = """
async ({url, codec, seconds, simulcast}) => {
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: simulcast ? {width: 1280, height: 720} : {width: 640, height: 360}});
  const peer = new RTCPeerConnection();
  for (const track of media.getTracks()) {
    const layers = simulcast && track.kind === 'video'
      ? [{rid: 'l', scaleResolutionDownBy: 4}, {rid: 'm', scaleResolutionDownBy: 2}, {rid: 'h'}] : undefined;
    const line = peer.addTransceiver(track, {direction: 'sendonly', sendEncodings: layers});
    if (track.kind === 'video') {
      const known = RTCRtpSender.getCapabilities('video').codecs;
      const wanted = known.filter(c => c.mimeType.toLowerCase() === 'video/' + codec.toLowerCase());
      line.setCodecPreferences([...wanted, ...known.filter(c => c.mimeType === 'video/rtx')]);
    }
  }
  await peer.setLocalDescription();
  const response = await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/sdp'},
                                     body: peer.localDescription.sdp});
  const answer = await response.text();
  if (response.status !== 201) return {status: response.status, answer};
  const connected = new Promise((resolve, reject) => {
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'connected') resolve();
      if (peer.connectionState === 'failed') reject(new Error('failed'));
    };
  });
  await peer.setRemoteDescription({type: 'answer', sdp: answer});
  await connected;
  const sent = async () => {
    const found = [];
    (await peer.getStats()).forEach(report => { if (report.type === 'outbound-rtp') found.push({...report}); });
    return found;
  };
  while (!(await sent()).some(report => report.kind === 'video' && report.framesSent > 0))
    await new Promise(done => setTimeout(done, 20));
  const begun = performance.now();
  await new Promise(done => setTimeout(done, seconds * 1000));
  const stats = await sent();
  const least = (performance.now() - begun) / 1000;
  const location = new URL(response.headers.get('Location'), url);
  const ended = await fetch(location, {method: 'DELETE'});
  const most = (performance.now() - begun) / 1000;
  peer.close();
  media.getTracks().forEach(track => track.stop());
  return {status: response.status, ended: ended.status, etag: response.headers.get('ETag'), least, most, stats, answer};
}
"""


@contextlib.contextmanager
def whip_server(folder, **settings):
    settings = {"http_listen": "127.0.0.1:0", "webrtc_udp_ports": "127.0.0.1:0", **settings}
    with Server(folder, **settings) as server:
        server.http = "http://" + server.wait_for("listening", protocol="http")["address"]
        server.wait_for("listening", protocol="webrtc")
        yield server


@contextlib.contextmanager
def browser_page(server):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *FAKE_DEVICES], chromium_sandbox=False
        )
        try:
            page = browser.new_page()
            page.goto(f"{server.http}/healthz")
            yield page
        finally:
            browser.close()


def ask(server, path, method, body=None, token=None, headers=()):
    answer = rest.request(server, path, method, body, token, **dict(headers))
    return answer.status, answer.headers, answer.body


def assert_holds(path, least_s, most_s, video, audio):
    """It decodes without a message, has these codecs, and is as long as was published, within 0.2 s."""
    media.assert_decodes_silently(path)
    probed = media.probe(path)
    codecs = {stream["codec_type"]: stream["codec_name"] for stream in probed["streams"]}
    assert codecs == {"video": video, "audio": audio}
    length = float(probed["format"]["duration"])
    assert least_s - 0.2 < length < most_s + 0.2, (least_s, length, most_s)
    tracks = media.read(path)
    for track in tracks.values():
        ends = [track.packets[0].pts_ms, track.packets[-1].pts_ms]
        assert (ends[1] - ends[0]) / 1000 > least_s - 0.25, (track.kind, ends)
    return tracks


@pytest.mark.skipif(not os.environ.get("REEL_SOAK"), reason="judges milliseconds: run alone, with REEL_SOAK=1")
@pytest.mark.parametrize(
    "codec, container, video, audio",
    [
        ("H264", ".mp4", "h264", "aac"),
        ("VP8", ".webm", "vp8", "opus"),
        ("VP9", ".webm", "vp9", "opus"),
        ("AV1", ".webm", "av1", "opus"),
    ],
)
def test_a_browser_publishes_and_the_file_holds_it(tmp_path, codec, container, video, audio):
    with whip_server(tmp_path / "records") as server, browser_page(server) as page:
        url = f"{server.http}/whip/cam?login=ada&room=r1"
        told = page.evaluate(CLIENT, {"url": url, "codec": codec, "seconds": 6})
        assert (told["status"], told.get("ended")) == (201, 200), told
        event, path = server.finished("cam")
        assert event["login"] == "ada" and path.suffix == container
        ended = server.wait_for("session_ended", stream_name="cam")
        assert ended["reason"] == "unpublished"
    tracks = assert_holds(path, told["least"], told["most"], video, audio)
    sent = next(report["framesSent"] for report in told["stats"] if report["kind"] == "video")
    assert abs(len(tracks["video"].packets) - sent) < 6, "pictures on their way at the end may be in it or not"
    dropped = {track["kind"]: track["dropped"] for track in event["tracks"]}
    assert dropped == {"audio": {}, "video": {}}
    # Nothing was lost, so nothing was asked for again.
    assert all(report["retransmittedPacketsSent"] == 0 for report in told["stats"] if report["kind"] == "video")


def test_the_highest_layer_of_simulcast_is_recorded(tmp_path):
    with whip_server(tmp_path / "records") as server, browser_page(server) as page:
        options = {"url": f"{server.http}/whip/cam", "codec": "VP8", "seconds": 12, "simulcast": True}
        told = page.evaluate(CLIENT, options)
        assert (told["status"], told.get("ended")) == (201, 200), told
        assert "a=simulcast:recv l;m;h" in told["answer"]
        _, path = server.finished("cam")
    with media.av.open(str(path)) as container:
        widths = [frame.width for frame in container.decode(video=0)]
    sent = {report.get("rid"): report["framesSent"] for report in told["stats"] if report["kind"] == "video"}
    assert sent["h"] > 0, sent
    assert widths[-1] == 1280, (widths[0], widths[-1], sent)
    assert widths.count(1280) > len(widths) / 3, (sent, widths.count(1280), len(widths))
    media.assert_decodes_silently(path)


def publish_by_aiortc(server, seconds, codec):
    """Publishes the test pictures and the silence of aiortc; gives how long it was connected, at least and at most."""

    async def publish():
        peer = aiortc.RTCPeerConnection()
        peer.addTrack(aiortc.AudioStreamTrack())
        peer.addTrack(aiortc.VideoStreamTrack())
        known = aiortc.RTCRtpSender.getCapabilities("video").codecs
        video = next(line for line in peer.getTransceivers() if line.kind == "video")
        video.setCodecPreferences([one for one in known if one.mimeType.lower() in (f"video/{codec}", "video/rtx")])
        await peer.setLocalDescription(await peer.createOffer())
        offer = peer.localDescription.sdp.encode()
        kind = {"Content-Type": "application/sdp"}
        status, headers, answer = await asyncio.to_thread(ask, server, "/whip/aiortc", "POST", offer, None, kind)
        assert status == 201, (status, answer)
        connected = asyncio.Event()
        peer.on("connectionstatechange", lambda: peer.connectionState == "connected" and connected.set())
        await peer.setRemoteDescription(aiortc.RTCSessionDescription(answer.decode(), "answer"))
        await asyncio.wait_for(connected.wait(), 20)
        begun = time.monotonic()
        await asyncio.sleep(seconds)
        least = time.monotonic() - begun
        status, _, body = await asyncio.to_thread(ask, server, headers["Location"], "DELETE")
        assert status == 200, body
        most = time.monotonic() - begun
        await peer.close()
        return least, most

    return asyncio.run(publish())


@pytest.mark.parametrize("codec, video, audio", [("vp8", "vp8", "opus"), ("h264", "h264", "aac")])
def test_aiortc_publishes_and_the_file_holds_it(tmp_path, codec, video, audio):
    with whip_server(tmp_path / "records") as server:
        least, most = publish_by_aiortc(server, 6, codec)
        _, path = server.finished("aiortc")
    # Its clocks begin when its tracks do, a little before it is connected.
    assert_holds(path, least, most + 0.3, video, audio)


@pytest.mark.parametrize("flags", [(), ("-whip_flags", "dtls_active")])
def test_ffmpeg_publishes_and_the_file_holds_it(tmp_path, flags):
    with whip_server(tmp_path / "records", publish_token="s3cret") as server:
        source = ["-re", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=6", "-f", "lavfi", "-i", "sine=r=48000:d=6"]
        encode = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-profile:v", "baseline", "-g", "25", "-bf", "0"]
        sound = ["-c:a", "libopus", "-ac", "2"]
        target = [*flags, "-authorization", "s3cret", "-f", "whip", f"{server.http}/whip/ffmpeg"]
        done = subprocess.run(
            [FFMPEG_9, "-v", "error", *source, *encode, *sound, *target], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        _, path = server.finished("ffmpeg")
    assert_holds(path, 6, 6, "h264", "aac")


def test_what_cannot_be_published_is_refused_in_words(tmp_path):
    sdp = {"Content-Type": "application/sdp"}
    settings = {
        "publish_token": "s3cret",
        "cors_allowed_origins": "https://a.example",
        "webrtc_ice_servers": "stun:stun.example",
        "webrtc_public_ips": "198.51.100.7",
    }
    with whip_server(tmp_path / "records", **settings) as server:

        def post(body, token="s3cret", **headers):
            status, told, text = ask(server, "/whip/cam", "POST", body, token, {**sdp, **headers})
            return status, told, text.decode()

        assert post(b"v=0")[0] == 400
        assert post(b"a" * 70_000)[0] == 413
        assert post(b"v=0", **{"Content-Type": "text/plain"})[0] == 415
        offer = OFFER.encode()
        status, headers, text = post(offer, token=None)
        assert status == 401 and "Bearer" in headers["WWW-Authenticate"], text
        assert post(offer.replace(b"VP8", b"VPX"))[0] == 422
        status, headers, text = post(offer, Origin="https://a.example")
        assert status == 201, text
        assert headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert "Location" in headers["Access-Control-Expose-Headers"]
        assert headers["Link"] == '<stun:stun.example>; rel="ice-server"'
        assert "a=ice-lite" in text and "198.51.100.7" in text and "127.0.0.1" not in text and "a=recvonly" in text
        assert post(offer)[0] == 409
        location, etag = headers["Location"], headers["ETag"]
        fragment = {"Content-Type": "application/trickle-ice-sdpfrag"}
        candidate = b"a=ice-ufrag:abcd\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n"

        def patch(body, **headers):
            return ask(server, location, "PATCH", body, None, {**fragment, **headers})

        assert patch(candidate)[0] == 428
        assert patch(candidate, **{"If-Match": '"old"'})[0] == 412
        assert patch(candidate, **{"If-Match": etag})[0] == 204
        restart = b"a=ice-ufrag:efgh\r\na=ice-pwd:0123456789012345678901\r\n"
        status, headers, text = patch(restart, **{"If-Match": "*"})
        assert status == 200 and headers["ETag"] != etag and b"a=ice-pwd:" in text, text
        assert ask(server, location, "OPTIONS")[1]["Accept-Patch"] == fragment["Content-Type"]
        assert ask(server, location, "DELETE")[0] == 200
        assert ask(server, location, "GET")[0] == 405
        deadline = time.monotonic() + 20
        while (again := post(offer))[0] == 409 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert again[0] == 201, "the name is free again"


#: An offer of nobody, for what is answered before anybody connects.
OFFER = (
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n"
    "a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
    "a=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
)
