"""Gets a finished MP4.
Gives a failure where Chromium cannot play it while it still downloads; and Chromium with fake devices."""

import contextlib
import http.server
import os
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]

#: A camera and a microphone that show and beep a test pattern. Addresses of this machine are told as they
#: are, and loopback is one of them.
FAKE_DEVICES = ["--use-fake-device-for-media-stream", "--disable-features=WebRtcHideLocalIpsWithMdns"]
LOOPBACK = ["--allow-loopback-in-peer-connection"]
ALLOWED = ["--use-fake-ui-for-media-stream"]

#: Where pictures of pages are kept for people to look at.
ARTEFACTS = Path(os.environ.get("REEL_ARTEFACTS", Path.home() / ".cache/livereel/artefacts"))

PAGE = b"<!doctype html><video id=video muted src=/media.mp4></video>"


@contextlib.contextmanager
def chromium(*flags):
    """A headless Chromium with these flags besides its usual ones."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags], chromium_sandbox=False)
        try:
            yield browser
        finally:
            browser.close()


def keep_picture(page, name):
    """A screenshot of the whole page, for people to look at."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    print(f"kept {path}")


class ThrottledFile(http.server.BaseHTTPRequestHandler):
    """Serves one page and one file, whole and without ranges, at `bytes_per_second` until `hurry` is set."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = PAGE if self.path == "/" else None
        kind = "text/html" if body else "video/mp4"
        size = len(body) if body else self.server.path.stat().st_size
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        try:
            self.wfile.write(body) if body else self.send_slowly()
        except ConnectionError:
            pass  # the browser has seen enough

    def send_slowly(self):
        piece_s = 0.1
        piece_bytes = int(self.server.bytes_per_second * piece_s)
        with open(self.server.path, "rb") as file:
            while piece := file.read(piece_bytes):
                self.wfile.write(piece)
                self.server.sent += len(piece)
                self.server.hurry.wait(piece_s)

    def log_message(self, *_):
        pass


def play_while_downloading(path, width, seconds, deadline_s=60):
    """Plays the file in headless Chromium: it starts before half of it is downloaded, and gets to the end."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ThrottledFile)
    server.path = Path(path)
    size = server.path.stat().st_size
    # Twice the speed that playing takes: enough to start, far from done when it has started.
    server.bytes_per_second = size / seconds * 2
    server.sent = 0
    server.hurry = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
            page = browser.new_page()
            page.set_default_timeout(deadline_s * 1000)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.evaluate("video.play()")
            page.wait_for_function("video.currentTime > 1")
            sent = server.sent
            assert sent < size / 2, f"playback began when {sent} of {size} bytes were sent"
            assert page.evaluate("video.videoWidth") == width

            server.hurry.set()
            page.evaluate("video.playbackRate = 8")
            page.wait_for_function("video.ended || video.error")
            assert page.evaluate("video.error && video.error.message") is None
            assert abs(page.evaluate("video.currentTime") - seconds) < 0.2
            quality = page.evaluate("(q => [q.totalVideoFrames, q.corruptedVideoFrames])(video.getVideoPlaybackQuality())")
            assert quality[0] > 0 and quality[1] == 0, quality
            browser.close()
    finally:
        server.shutdown()
