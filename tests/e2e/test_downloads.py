"""Downloads through livereel-server: resumed, played while they come, growing, and beside a recording."""

import concurrent.futures
import subprocess

import media
import publishers
import sources
from browser import CHROMIUM, FLAGS
from playwright.sync_api import sync_playwright
from rest import address, call, request

LISTEN = {"http_listen": "127.0.0.1:0"}


def recorded(server):
    """A minute of media as a finished file: its event and path."""
    publishers.run(publishers.load(sources.minute_flv(), server.url(), prefix="cam", speed=0))
    return server.finished("cam-0")


def test_curl_resumes_a_download_that_was_cut_off(serve, tmp_path):
    server = serve(**LISTEN)
    event, path = recorded(server)
    url = f"http://{address(server)}/client/records/{event['file_name']}"
    part = tmp_path / "part.mp4"
    cut = subprocess.Popen(["curl", "-sS", "--limit-rate", "500k", "-o", part, url])
    while not part.exists() or part.stat().st_size == 0:
        assert cut.poll() is None
    cut.kill()
    cut.wait()
    assert part.stat().st_size < path.stat().st_size
    subprocess.run(["curl", "-sS", "--fail", "-C", "-", "-o", part, url], check=True, timeout=60)
    assert part.read_bytes() == path.read_bytes()
    server.stop()


def test_chromium_seeks_in_a_recording(serve):
    server = serve(**LISTEN)
    event, _ = recorded(server)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        page = browser.new_page()
        page.goto(f"http://{address(server)}/client/records/{event['file_name']}")
        page.wait_for_function("window.video = document.querySelector('video')")
        page.evaluate("video.muted = true; video.currentTime = 40")
        page.wait_for_function("!video.seeking && video.readyState >= 2")
        page.evaluate("video.play()")
        page.wait_for_function("video.currentTime > 41 || video.error")
        assert page.evaluate("video.error && video.error.message") is None
        assert abs(page.evaluate("video.duration") - event["duration_ms"] / 1000) < 0.1
        browser.close()
    server.stop()


def test_a_growing_file_plays_as_far_as_it_is(serve, tmp_path):
    server = serve(**LISTEN)
    with publishers.running(publishers.ffmpeg(sources.minute_flv(), server.url("cam"))):
        server.wait_for("recording_started")
        name = call(server, "recorder/find_all").json[0]["fileName"]
        recording = server.named("recording_started")[0]["recording_id"]
        lengths = []
        while len(lengths) < 2:
            answer = request(server, f"/client/records/{recording}")
            assert answer.status == 200
            path = tmp_path / "growing.mp4"
            path.write_bytes(answer.body)
            count = len(media.read(path)["video"].packets) if b"moof" in answer.body else 0
            if count > (lengths[-1] if lengths else 0):
                lengths.append(count)
        assert f'filename="{name}"' in answer.headers["Content-Disposition"]
    server.finished("cam")
    server.stop()


def test_two_hundred_downloads_cost_a_recording_no_sample(serve):
    server = serve(**LISTEN)
    event, path = recorded(server)
    whole = path.read_bytes()
    with publishers.running(publishers.ffmpeg(sources.short_flv(), server.url("live"))) as publisher:
        server.wait_for("recording_started", stream_name="live")
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            fetch = lambda _: request(server, f"/client/records/{event['file_name']}").body == whole  # noqa: E731
            assert all(pool.map(fetch, range(200)))
        assert publisher.wait(60) == 0
    live, _ = server.finished("live")
    assert [track["dropped"] for track in live["tracks"]] == [{}, {}]
    server.stop()
