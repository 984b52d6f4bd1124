"""The Stream Recording page in headless Chromium with a fake camera and microphone: driven by keyboard and
mouse as people do, on the width of a phone and wider, with every codec that the browser offers."""

import contextlib
import os
import re
import time

import browser
import media
import publishers
import pytest
import sources
from playwright.sync_api import expect
from rest import address, request
from server import DEADLINE_S

#: Real-time media of browsers and cameras, which judges starve where others run beside it.
pytestmark = pytest.mark.alone

SECONDS = 30 if os.environ.get("REEL_SOAK") else 8

#: By how much a file may be longer or shorter than the page said that it ran.
WITHIN_S = 0.2

SETTINGS = {
    "http_listen": "127.0.0.1:0",
    "webrtc_udp_ports": "0",
    "stream_record_policy_template": "{streamName}",
}
DEVICES = [*browser.FAKE_DEVICES, *browser.LOOPBACK, *browser.ALLOWED]

#: What the page calls a codec: its name in events, the container, and the codec of its sound there.
CODECS = {
    "H.264": ("h264", "mp4", "aac"),
    "VP8": ("vp8", "webm", "opus"),
    "VP9": ("vp9", "webm", "opus"),
    "AV1": ("av1", "webm", "opus"),
}


@contextlib.contextmanager
def opened(server, *flags, width=1000, host=None, **context):
    """The server's page, in a browser that tells of every error of the page and its policy."""
    with browser.chromium(*(flags or DEVICES)) as chromium:
        page = chromium.new_context(viewport={"width": width, "height": 800}, **context).new_page()
        page.set_default_timeout(DEADLINE_S * 1000)
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda line: page.faults.append(line.text) if line.type == "error" else None)
        page.goto(f"http://{host or address(server)}/")
        yield page


def says(page, state):
    expect(page.get_by_role("status").first).to_have_text(state, timeout=DEADLINE_S * 1000)


def begin(page, name, codec="H.264"):
    """Fills the form and starts by the keyboard."""
    page.get_by_label("Video codec").select_option(codec)
    page.get_by_label("Stream name").fill(name)
    page.keyboard.press("Enter")
    says(page, "Recording")


def end(page):
    """Stops by the keyboard, whose focus went to the button, and gives how long it ran, in seconds."""
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Space")
    says(page, "Recorded")
    expect(page.get_by_role("button", name="Start")).to_be_focused()
    return float(re.fullmatch(r"PT([\d.]+)S", page.get_by_role("timer").get_attribute("datetime"))[1])


def assert_no_sideways_scroll(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def play_to_the_end(page, seconds):
    """Plays what is in the page's player, and finds all of it there."""
    player = page.locator("#player")
    player.evaluate("player => { player.muted = true; return player.play(); }")
    ended = player.evaluate(
        """player => new Promise((done, failed) => {
             player.onended = () => done(player.currentTime);
             player.addEventListener('error', () => failed(new Error(player.error.message)));
           })"""
    )
    assert abs(ended - seconds) < WITHIN_S
    total, corrupted = player.evaluate("p => (q => [q.totalVideoFrames, q.corruptedVideoFrames])(p.getVideoPlaybackQuality())")
    assert total > 0 and corrupted == 0


@pytest.mark.parametrize("codec", CODECS)
def test_a_camera_is_recorded_and_played_by_the_page(serve, codec):
    server = serve(**SETTINGS)
    video, container, audio = CODECS[codec]
    with opened(server) as page:
        begin(page, "cam", codec)
        page.wait_for_timeout(SECONDS * 1000)  # live media takes its time
        ran_s = end(page)
        assert ran_s >= SECONDS
        event, path = server.finished("cam")
        assert (event["video_codec"], event["container"], event["audio_codec"]) == (video, container, audio)
        assert abs(event["duration_ms"] / 1000 - ran_s) < WITHIN_S, (event["duration_ms"], ran_s)
        media.assert_decodes_silently(path)
        for ffprobe in ("ffprobe", media.FFPROBE_8):
            assert abs(float(media.probe(path, ffprobe)["format"]["duration"]) - ran_s) < WITHIN_S

        result = page.get_by_role("list", name="Files of this recording")
        with page.expect_download() as download:
            result.get_by_role("link", name=f"Download {path.name}").click()
        assert download.value.suggested_filename == path.name
        assert download.value.path().read_bytes() == path.read_bytes()
        result.get_by_role("link", name=f"Play {path.name}").press("Enter")
        expect(page.locator("#player")).to_be_focused()
        play_to_the_end(page, event["duration_ms"] / 1000)

        listed = page.get_by_role("list", name="Recordings").get_by_role("listitem")
        expect(listed).to_have_count(1)
        expect(listed).to_contain_text(path.name)
        expect(listed).to_contain_text(f"{event['duration_ms'] / 1000:.1f} s · ")
        browser.keep_picture(page, f"page-{video}")
        assert page.faults == []
    server.stop()


def test_a_phone_shows_all_of_it_without_scrolling_sideways(serve):
    server = serve(**SETTINGS)
    long_name = "a-name-as-long-as-names-of-files-are-with-no-blank-anywhere-in-it"
    with opened(server, width=360, color_scheme="dark", has_touch=True) as page:
        assert_no_sideways_scroll(page)
        page.get_by_label("Stream name").fill(long_name)
        page.get_by_role("button", name="Start").tap()
        says(page, "Recording")
        expect(page.get_by_label("What the camera sees")).to_be_visible()
        assert_no_sideways_scroll(page)
        browser.keep_picture(page, "page-phone-recording")
        page.get_by_role("button", name="Stop").tap()
        says(page, "Recorded")
        expect(page.get_by_role("heading", name=f"Playback of {long_name}.mp4")).to_be_visible()
        assert_no_sideways_scroll(page)
        for control in page.locator("button:visible, select:visible, input:visible").all():
            assert control.bounding_box()["height"] >= 44, "too small for a thumb"
        browser.keep_picture(page, "page-phone-recorded")
    server.stop()


def test_every_control_has_a_name_and_comes_in_the_order_that_it_is_seen_in(serve):
    server = serve(**SETTINGS)
    with opened(server) as page:
        expect(page.get_by_label("Camera", exact=True).locator("option")).to_have_text(["fake_device_0", "No camera"])
        order = []
        for _ in range(6):
            page.keyboard.press("Tab")
            focus = page.evaluate("""() => {
                const { labels, textContent } = document.activeElement;
                return labels && labels.length ? labels[0].textContent : textContent;
            }""")
            order.append(focus)
        assert order == ["Camera", "Microphone", "Video codec", "Stream name", "Start", "Refresh"]
        snapshot = page.locator("body").aria_snapshot()
        for named in ('combobox "Camera"', 'combobox "Microphone"', 'combobox "Video codec"', 'textbox "Stream name"',
                      'heading "Stream Recording" [level=1]', 'timer "Time running"', 'region "Recordings"'):
            assert named in snapshot, snapshot
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.evaluate("[...document.querySelectorAll('[id]')].every((one, at, all) => all.findIndex(two => two.id === one.id) === at)")
    server.stop()


def test_colours_stand_out_in_light_and_in_the_dark(serve):
    """4.5 to 1 at least (WCAG 2.2, 1.4.3), of every text and button as it is computed."""
    server = serve(**SETTINGS)
    for scheme in ("light", "dark"):
        with opened(server, color_scheme=scheme) as page:
            page.locator("#error").evaluate("error => { error.hidden = false; error.textContent = 'x'; }")
            least = page.evaluate("""() => {
                const light = text => {
                  const [r, g, b] = text.match(/[\\d.]+/g).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                };
                const paper = one => {
                  for (; one; one = one.parentElement) {
                    const { backgroundColor } = getComputedStyle(one);
                    if (!/, 0\\)$/.test(backgroundColor)) return backgroundColor;
                  }
                };
                return Math.min(...[...document.querySelectorAll('h1, h2, p, label, button, input, select, span, time')]
                  .filter(one => one.checkVisibility())
                  .map(one => [light(getComputedStyle(one).color), light(paper(one))].sort((a, b) => b - a))
                  .map(([more, less]) => (more + 0.05) / (less + 0.05)));
            }""")
            assert least >= 4.5, (scheme, least)
    server.stop()


def test_closing_the_tab_ends_the_file_properly(serve):
    server = serve(**SETTINGS)
    with opened(server) as page:
        begin(page, "cam")
        page.wait_for_timeout(3000)
        ran_s = float(page.get_by_role("timer").get_attribute("datetime")[2:-1])
        page.close()
        server.wait_for("session_ended", deadline_s=5, stream_name="cam")
    event, path = server.finished("cam")
    assert event["duration_ms"] / 1000 > ran_s - 0.3
    media.assert_decodes_silently(path)
    server.stop()


def test_a_token_is_asked_for_and_kept_by_the_tab_alone(serve):
    server = serve(**SETTINGS, publish_token="publish-secret", rest_token="rest-secret", download_token="download-secret")
    with opened(server) as page:
        question = page.get_by_role("form").get_by_role("textbox")

        def answer(about, token):
            expect(page.locator("#access-label")).to_contain_text(about)
            expect(question).to_be_focused()
            question.fill(token)
            page.keyboard.press("Enter")

        answer("asks for a token for the recordings", "download-secret")
        expect(page.get_by_text("Nothing is recorded yet.")).to_be_visible()
        page.get_by_label("Stream name").fill("cam")
        page.keyboard.press("Enter")
        answer("asks for a token for publishing", "wrong")
        answer("The token for publishing is not right", "publish-secret")
        says(page, "Recording")
        answer("name of your file", "rest-secret")
        page.wait_for_timeout(1000)
        page.get_by_role("button", name="Stop").click()
        says(page, "Recorded")
        _, path = server.finished("cam")
        play_to_the_end(page, page.locator("#player").evaluate("p => new Promise(d => p.duration ? d(p.duration) : p.onloadedmetadata = () => d(p.duration))"))
        assert page.evaluate("localStorage.length") == 0 and page.context.cookies() == []
        # A new load of the tab knows them all, a new tab none.
        page.reload()
        expect(page.get_by_role("list", name="Recordings").get_by_text(path.name)).to_be_visible()
        other = page.context.new_page()
        other.goto(page.url)
        expect(other.get_by_text("The server asks for a token")).to_be_visible()
        assert other.evaluate("sessionStorage.length") == 0
    server.stop()


def test_a_name_that_is_taken_is_told_in_words(serve):
    server = serve(**SETTINGS)
    with publishers.running(publishers.ffmpeg(sources.minute_flv(), server.url("cam"))):
        server.wait_for("session_published")
        with opened(server) as page:
            page.get_by_label("Stream name").fill("cam")
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert")).to_contain_text("This stream name is taken")
            says(page, "Not recording")
            expect(page.get_by_role("button", name="Start")).to_be_focused()
            # The next try, under another name, does away with the message.
            page.get_by_label("Stream name").fill("cam-2")
            page.keyboard.press("Enter")
            says(page, "Recording")
            expect(page.get_by_role("alert")).to_be_hidden()
            end(page)
    server.stop()


@pytest.mark.parametrize(
    "flags, words",
    [
        ([*browser.FAKE_DEVICES, "--deny-permission-prompts"], "The camera and microphone may not be used: allow it"),
        (["--use-fake-device-for-media-stream=device-count=0", *browser.ALLOWED], "There is no camera"),
    ],
)
def test_a_camera_that_cannot_be_had_is_told_in_words(serve, flags, words):
    server = serve(**SETTINGS)
    with opened(server, *flags) as page:
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text(words)
        says(page, "Not recording")
        assert page.faults == []
    assert server.named("session_published") == []
    server.stop()


def test_a_lost_connection_is_told_in_words(serve):
    server = serve(**SETTINGS)
    with opened(server) as page:
        begin(page, "cam")
        server.kill()
        expect(page.get_by_role("alert")).to_contain_text("The connection to the server was lost", timeout=60_000)
        says(page, "Not recording")


def test_a_stream_of_sound_alone_is_recorded(serve):
    server = serve(**SETTINGS)
    with opened(server) as page:
        page.get_by_label("Camera", exact=True).select_option("No camera")
        page.get_by_label("Stream name").fill("voice")
        page.get_by_role("button", name="Start").click()
        says(page, "Recording")
        expect(page.get_by_label("What the camera sees")).to_be_hidden()
        page.wait_for_timeout(2000)
        ran_s = end(page)
    event, path = server.finished("voice")
    assert (event["video_codec"], event["audio_codec"]) == (None, "aac")
    assert abs(event["duration_ms"] / 1000 - ran_s) < WITHIN_S
    media.assert_decodes_silently(path)
    server.stop()


def test_a_name_of_a_file_is_text_whatever_is_in_it(serve):
    server = serve(**SETTINGS)
    names = ['<img src=x onerror="alert(1)">.mp4', "'\"><script>alert(1)<", "a b#c?d%2e&e=f.webm"]
    names = [name.replace("/", "_") if name.endswith(("mp4", "webm")) else name + "_script>.ts" for name in names]
    for number, name in enumerate(names):
        (server.folder / name).write_bytes(b"x" * 10 * (number + 1))
    with opened(server) as page:
        page.on("dialog", lambda dialog: page.faults.append(dialog.message))
        listed = page.get_by_role("list", name="Recordings").get_by_role("listitem")
        expect(listed).to_have_count(len(names))
        assert sorted(page.locator("#records strong").all_text_contents()) == sorted(names)
        for number, name in enumerate(names):
            link = page.get_by_role("link", name=f"Download {name}", exact=True)
            path = link.evaluate("link => link.pathname + link.search")
            assert request(server, path).body == b"x" * 10 * (number + 1)
        assert page.locator("img").count() == 0 and page.faults == []
    server.stop()


def test_recordings_beyond_the_first_fifty_come_by_a_button(serve):
    server = serve(**SETTINGS)
    for number in range(120):
        (server.folder / f"{number}.mp4").write_bytes(b"x")
    with opened(server) as page:
        rows = page.get_by_role("list", name="Recordings").get_by_role("listitem")
        for shown in (50, 100, 120):
            expect(rows).to_have_count(shown)
            if shown < 120:
                page.get_by_role("button", name="Show more").click()
        expect(page.get_by_role("button", name="Show more")).to_be_hidden()
        expect(page.get_by_text("120 files")).to_be_visible()
    server.stop()


def test_the_clock_of_the_page_runs(serve):
    server = serve(**SETTINGS)
    with opened(server) as page:
        begin(page, "cam")
        began = time.monotonic()
        expect(page.get_by_role("timer")).to_have_text("0:03", timeout=10_000)
        assert abs(time.monotonic() - began - 3) < 0.7
        end(page)
    server.stop()
