"""REST through livereel-server: the calls of Web Call Server's clients, access, HTTPS, metrics, webhooks."""

import hashlib
import hmac
import http.server
import json
import queue
import subprocess
import threading

import media
import publishers
import sources
from rest import address, call, request
from server import BINARY

LISTEN = {"http_listen": "127.0.0.1:0"}


def test_a_recording_is_made_on_demand_and_fetched(serve):
    server = serve(**LISTEN, record_streams=False)
    with publishers.running(publishers.ffmpeg(sources.minute_flv(), server.url("cam"))):
        session = server.wait_for("session_published")["media_session_id"]
        assert call(server, "recorder/find_all").status == 404
        config = {"fileTemplate": "{streamName}-{startTime}-{endTime}", "rotation": "2s"}
        assert call(server, "recorder/startup", mediaSessionId=session, config=config).status == 200
        server.wait_for("file_finished")
        running = call(server, "recorder/find_all").json
        assert [list(one) for one in running] == [["fileName", "mediaSessionId"]]
        assert running[0]["fileName"].startswith("cam-") and "{endTime}" in running[0]["fileName"]
        assert call(server, "recorder/terminate", mediaSessionId=session).status == 200
        files = call(server, "recorder/record_info", mediaSessionId=session).json
        assert [file["part"] for file in files] == list(range(1, len(files) + 1))
        for file in files:
            fetched = request(server, file["url"])
            assert fetched.body == (server.folder / file["fileName"]).read_bytes()
        assert media.read(server.folder / files[0]["fileName"])["video"].packets[0].key
        assert call(server, "stream/terminate", mediaSessionId=session).status == 200
        server.wait_for("session_ended", reason="terminated")
    assert call(server, "recorder/record_info", mediaSessionId=session).json == files
    server.stop()


def test_wrong_requests_are_told_what_is_wrong(serve):
    server = serve(**LISTEN)
    answer = call(server, "recorder/startup", mediaSessionId="x", config={"rotation": "often"})
    assert (answer.status, answer.json["field"]) == (400, "config.rotation")
    answer = request(server, "/rest-api/recorder/find_all", "POST", b"{}", content_type="text/plain")
    assert answer.status == 415 and "application/json" in answer.json["message"]
    assert request(server, "/rest-api/recorder/find_all").status == 405
    assert request(server, "/healthz").body == b"ok\n"
    server.stop()


def test_tokens_guard_rest_and_downloads_and_are_in_no_log(serve):
    server = serve(**LISTEN, rest_token="rest-secret", download_token="download-secret")
    assert call(server, "stream/find_all").status == 401
    assert call(server, "stream/find_all", token="download-secret").status == 401
    assert call(server, "stream/find_all", token="rest-secret").status == 200
    assert request(server, "/client/records/").status == 401
    assert request(server, "/client/records/?token=download-secret").status == 200
    server.stop()
    log = server.log.read_text()
    assert "rest-secret" not in log and "download-secret" not in log


def test_a_listener_beyond_loopback_does_not_start_without_tokens(tmp_path):
    command = [BINARY, "--record-dir", tmp_path, "--http-listen", "0.0.0.0:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "rest_token" in done.stderr, done.stderr


def test_https_with_a_certificate_of_openssl(serve, tmp_path):
    made = ["openssl", *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split()]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
    subprocess.run(made, check=True, capture_output=True)
    server = serve(https_listen="127.0.0.1:0", tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    url = f"https://{address(server, 'https')}/healthz"
    done = subprocess.run(["curl", "-sS", "--cacert", tmp_path / "cert.pem", url], capture_output=True, timeout=30)
    assert done.stdout == b"ok\n", done.stderr
    server.stop()


def test_metrics_are_what_prometheus_reads(serve):
    server = serve(**LISTEN)
    publishers.run(publishers.ffmpeg(sources.short_flv(), server.url("cam")))
    event, _ = server.finished("cam")
    text = request(server, "/metrics").body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert int(values["livereel_written_bytes_total"]) == event["size_bytes"]
    samples = sum(track["samples_in"] for track in event["tracks"])
    assert int(values["livereel_received_samples_total"]) == samples
    assert values['livereel_files_finished_total{container="mp4"}'] == "1"
    assert text.endswith("# EOF\n")
    server.stop()


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.put((self.headers, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def receiver(port=0):
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", port), Hook)
    hook.posts = queue.Queue()
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    return hook


def test_a_finish_reaches_the_webhook_though_both_sides_went_down(serve, tmp_path):
    closed = receiver()
    port = closed.server_port
    closed.shutdown()
    closed.server_close()
    settings = {"event_webhook_url": f"http://127.0.0.1:{port}/", "event_webhook_secret": "hook-secret"}
    server = serve(tmp_path / "records", **settings)
    publishers.run(publishers.ffmpeg(sources.short_flv(), server.url("cam")))
    event, _ = server.finished("cam")
    server.kill()

    hook = receiver(port)
    server = serve(tmp_path / "records", **settings)
    server.stop()
    posts = [hook.posts.get(timeout=30)]
    while not hook.posts.empty():
        posts.append(hook.posts.get())
    hook.shutdown()
    hook.server_close()
    bodies = [json.loads(body) for _, body in posts]
    assert event in bodies
    assert [body["event"] for body in bodies][-1] == "listening"
    headers, body = posts[0]
    time, signed = headers["Livereel-Signature"].split(",v1=")
    message = time.removeprefix("t=").encode() + b"." + body
    assert hmac.new(b"hook-secret", message, hashlib.sha256).hexdigest() == signed
