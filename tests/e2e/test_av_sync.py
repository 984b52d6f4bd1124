"""Sound and picture in step: flashes and beeps of one moment, published by WHIP, measured in the file. On a
clean link, on one that loses and delays, and after sound was away for a while."""

import contextlib

import av_sync
import browser
import media
import pytest
import whip_clients
from publishers import running
from relay import Link, Relay
from rest import address

SETTINGS = {
    "http_listen": "127.0.0.1:0",
    "webrtc_udp_ports": "0",
    "stream_record_policy_template": "{streamName}",
}

#: What is asked for: 5 % of all datagrams are lost each way, and each is up to 30 ms late.
BAD_LINK = Link(loss_percent=5, jitter_s=0.030, delay_s=0.010)


class BrowserClient:
    """A page that flashes and beeps."""

    def __init__(self, page):
        self.page = page

    def tell(self, line):
        """`mute` takes the sound away altogether, so that no packets of it come; `sound` gives it back."""
        kept = "window.sound ??= published.peer.getSenders().find(one => one.track?.kind === 'audio'), window.kept ??= sound.track"
        self.page.evaluate(f"({kept}, sound.replaceTrack({'null' if line == 'mute' else 'kept'}))")

    def end(self):
        self.page.evaluate("published.end()")


@contextlib.contextmanager
def published(maker, host, codec):
    """A client of `maker` that flashes and beeps with a video codec; its stream is named after it."""
    url = whip_clients.url(host, maker)
    if maker == "libwebrtc":
        with whip_clients.node("publish_wrtc.js", url, codec) as client:
            yield client
        return
    with browser.chromium(*browser.FAKE_DEVICES, *browser.LOOPBACK, *browser.ALLOWED) as chromium:
        page = chromium.new_page()
        page.goto(f"http://{host}/healthz")
        page.evaluate(av_sync.BROWSER_SOURCE + av_sync.BROWSER_PUBLISHER)
        page.evaluate("([url, codec]) => flashAndBeep().then(stream => publish(stream, url, codec)).then(made => { window.published = made; })", [url, codec])
        yield BrowserClient(page)


def seconds_recorded(server, stream, seconds):
    """Waits until that much of a stream was recorded, by its picture."""
    started = server.wait_for("recording_started", stream_name=stream)
    server.sleep_until(started, seconds)


@pytest.mark.parametrize("maker, codec", [("chromium", "VP8"), ("chromium", "H264"), ("libwebrtc", "VP8"), ("libwebrtc", "VP9")])
def test_on_a_clean_link(serve, maker, codec):
    server = serve(**SETTINGS)
    with published(maker, address(server), codec) as client:
        live(server, maker, 10)
        client.end()
    assert_in_step(server, maker, at_least=9)
    server.stop()
