"""Sound and picture in step: flashes and beeps of one moment, published by WHIP, measured in the file. On a
clean link, on one that loses and delays, and after sound was away for a while."""

import contextlib
import os
import time

import av_sync
import browser
import media
import pytest
import whip_clients
from relay import Link, Relay
from rest import address, call
from server import DEADLINE_S

#: Milliseconds of live browsers: measured on a machine that does nothing else.
pytestmark = pytest.mark.skipif(not os.environ.get("REEL_SOAK"), reason="measured alone, with REEL_SOAK=1")

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
        page.evaluate(f"() => {{ {av_sync.BROWSER_SOURCE} {av_sync.BROWSER_PUBLISHER} }}")
        # The source runs before it is published: what starting costs is no delay of one kind of media then.
        page.evaluate("async () => { window.stream = await flashAndBeep(); }")
        page.wait_for_timeout(2000)
        page.evaluate("async ([url, codec]) => { window.published = await publish(stream, url, codec); }", [url, codec])
        yield BrowserClient(page)


def live(server, stream, seconds):
    """Waits until that much more of a stream is recorded: media takes its time."""
    session = server.wait_for("recording_started", stream_name=stream)["media_session_id"]
    recorded_ms = lambda: call(server, "recorder/record_info", mediaSessionId=session).json[0]["durationMs"]  # noqa: E731
    until_ms = recorded_ms() + seconds * 1000
    ends = time.monotonic() + seconds + DEADLINE_S
    while recorded_ms() < until_ms:
        assert time.monotonic() < ends, f"{stream} is stuck at {recorded_ms()} ms"
        time.sleep(0.2)


def assert_in_step(server, stream, at_least):
    event, path = server.finished(stream)
    print([{key: track[key] for key in ("kind", "samples_in", "samples_written", "dropped", "gaps")} for track in event["tracks"]])
    media.assert_decodes_silently(path)
    av_sync.assert_in_step(path, at_least)
    return event


MAKERS = [("chromium", "VP8"), ("chromium", "H264"), ("libwebrtc", "VP8"), ("libwebrtc", "VP9")]


@pytest.mark.parametrize("maker, codec", MAKERS)
def test_on_a_clean_link(serve, maker, codec):
    server = serve(**SETTINGS)
    with published(maker, address(server), codec) as client:
        live(server, maker, 10)
        client.end()
    assert_in_step(server, maker, at_least=9)
    server.stop()


@pytest.mark.parametrize("maker, codec", MAKERS)
def test_on_a_link_that_loses_5_percent_with_jitter_of_30_ms(serve, maker, codec):
    server = serve(**SETTINGS)
    with Relay(address(server), BAD_LINK) as relay, published(maker, relay.address, codec) as client:
        live(server, maker, 20)
        client.end()
        assert relay.lost > relay.sent / 40, "the relay had nothing to lose"
    assert_in_step(server, maker, at_least=15)
    server.stop()


@pytest.mark.parametrize("maker, codec", MAKERS[:3])
def test_after_ten_seconds_without_sound(serve, maker, codec):
    server = serve(**SETTINGS)
    with published(maker, address(server), codec) as client:
        live(server, maker, 6)
        client.tell("mute")
        live(server, maker, 10)
        client.tell("sound")
        live(server, maker, 8)
        client.end()
    assert_in_step(server, maker, at_least=12)
    server.stop()
