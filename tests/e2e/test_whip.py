"""Gets streams that browsers and other WebRTC clients publish by WHIP.
Gives a failure where the file does not hold what they sent, for as long as they sent it."""

import asyncio
import contextlib
import fractions
import json
import time
import urllib.error
import urllib.request

import media
import pytest
from browser import CHROMIUM, FLAGS
from playwright.sync_api import sync_playwright
from server import Server

FAKE_DEVICES = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]

#: A whole WHIP client: publishes the fake camera and microphone for some seconds of media.
CLIENT = """
async ({url, codec, seconds, simulcast}) => {
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360}});
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
  const lasted = (performance.now() - begun) / 1000;
  const location = new URL(response.headers.get('Location'), url);
  const ended = await fetch(location, {method: 'DELETE'});
  peer.close();
  media.getTracks().forEach(track => track.stop());
  return {status: response.status, ended: ended.status, etag: response.headers.get('ETag'), lasted, stats, answer};
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


def length_s(path):
    """From the first to the last end of each kind of packet, by ffprobe."""
    return float(json.loads(media.ffprobe(path, "-show_format"))["format"]["duration"])


@pytest.mark.parametrize(
    "codec, container, sound",
    [("H264", "mp4", "aac"), ("VP8", "webm", "opus"), ("VP9", "mp4", "aac"), ("AV1", "mp4", "aac")],
)
def test_a_browser_publishes_and_the_file_holds_it(tmp_path, codec, container, sound):
    with whip_server(tmp_path / "records") as server, browser_page(server) as page:
        told = page.evaluate(CLIENT, {"url": f"{server.http}/whip/cam?login=ada&room=r1", "codec": codec, "seconds": 6})
        assert (told["status"], told.get("ended")) == (201, 200), told
        event, path = server.finished("cam")
        assert event["login"] == "ada"
    print(event, told["lasted"], told["stats"])
