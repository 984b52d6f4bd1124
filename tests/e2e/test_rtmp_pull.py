"""Streams pulled from other people's RTMP servers: nginx-rtmp, and ffmpeg that listens."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager

import media
import publishers
import rest
import sources

NGINX_MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
DEADLINE_S = 30


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nginx(folder, port):
    folder.mkdir(exist_ok=True)
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"""{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
load_module {NGINX_MODULE};
events {{ worker_connections 64; }}
rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}
"""
    )
    process = subprocess.Popen(["nginx", "-e", folder / "error.log", "-c", config], stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + DEADLINE_S
        while not listens(port):
            assert process.poll() is None and time.monotonic() < ends, (folder / "error.log").read_text()
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def pull(server, uri, name="pulled", **fields):
    answer = rest.call(server, "pull/startup", uri=uri, streamName=name, **fields)
    assert answer.status == 200, answer.body
    return answer.json["mediaSessionId"]


def puller(serve, **settings):
    return serve(http_listen="127.0.0.1:0", pull_allowed_hosts="127.0.0.1", pull_retry_max_delay=500, **settings)


def test_a_stream_of_nginx_comes_out_packet_for_packet(serve, tmp_path):
    port, source = free_port(), sources.short_flv()
    server = puller(serve)
    with nginx(tmp_path / "nginx", port):
        session = pull(server, f"rtmp://127.0.0.1:{port}/live/cam?token=x", config={"fileTemplate": "{streamName}"})
        publishers.run(publishers.ffmpeg(source, f"rtmp://127.0.0.1:{port}/live/cam"))
        server.wait_for("session_interrupted", media_session_id=session)
        assert rest.call(server, "pull/terminate", mediaSessionId=session).status == 200
    event, path = server.finished("pulled")
    assert path.name == "pulled.mp4"
    published = server.wait_for("session_published")
    assert (published["protocol"], published["peer"]) == ("rtmp", f"rtmp://127.0.0.1:{port}/live/cam")
    media.assert_same(source, path)
    server.stop()


def test_a_stream_that_ffmpeg_serves_comes_out_packet_for_packet(serve):
    port, source = free_port(), sources.short_flv()
    server = puller(serve)
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    session = pull(server, url)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", source, "-c", "copy", "-f", "flv", "-listen", "1", url]
    publishers.run(command)
    server.wait_for("session_interrupted", media_session_id=session)
    assert rest.call(server, "stream/terminate", mediaSessionId=session).status == 200
    _, path = server.finished("pulled")
    media.assert_same(source, path)
    server.stop()


def test_a_server_that_comes_and_goes_gives_one_recording_with_its_gaps(serve, tmp_path):
    port, source = free_port(), sources.second_gop_flv()
    server = puller(serve)
    session = pull(server, f"rtmp://127.0.0.1:{port}/live/cam")
    rounds = 3
    for number in range(rounds):
        with nginx(tmp_path / f"nginx-{number}", port):
            # The pull comes back by itself, whenever it may: the publisher sends until it has.
            with publishers.running(publishers.ffmpeg(source, f"rtmp://127.0.0.1:{port}/live/cam")):
                if number == 0:
                    server.wait_for("recording_started")
                else:
                    server.wait_for("session_resumed", count=number)
                server.wait_for_bytes(100_000 * (number + 1))
        server.wait_for("session_interrupted", count=number + 1)
    rest.call(server, "pull/terminate", mediaSessionId=session)
    event, path = server.finished("pulled")
    for track in event["tracks"]:
        causes = [gap["cause"] for gap in track["gaps"]]
        assert causes.count("reconnect") == rounds - 1, track["gaps"]
    media.opens(path)
    warnings = [warning for warning in server.named("warning") if warning["code"] == "pull_failed"]
    assert warnings and all("127.0.0.1" in warning["message"] for warning in warnings)
    server.stop()


def test_a_server_that_has_no_such_thing_is_told_with_its_words(serve, tmp_path):
    port = free_port()
    server = puller(serve, pull_idle_timeout=1000)
    with nginx(tmp_path / "nginx", port):
        session = pull(server, f"rtmp://127.0.0.1:{port}/nothing/cam")
        warning = server.wait_for("warning", media_session_id=session)
        assert warning["code"] == "pull_failed", warning
        rest.call(server, "pull/terminate", mediaSessionId=session)
    refused = rest.call(server, "pull/startup", uri="rtmp://192.0.2.1/live/cam")
    assert (refused.status, refused.json["error"]) == (403, "access_denied")
    server.stop()
