"""Gets a server that takes WHIP, and how bad the link to it is to be.
Gives an address that looks like the server's: HTTP passes as it is, media is lost, late and out of order
by a seed. Any client can be sent there, for the answers that pass name the relay's ports for media."""

import heapq
import http.client
import http.server
import itertools
import random
import re
import selectors
import socket
import threading
import time
from dataclasses import dataclass

#: A candidate of the media's address in a session description (RFC 8839 section 5.1).
CANDIDATE = re.compile(r"a=candidate:(?P<head>\S+ \d+ )(?P<transport>\S+)( \d+ )(?P<ip>\S+) (?P<port>\d+)(?P<tail>.*)\r?\n")

#: Headers that belong to one connection and are made anew for the next (RFC 9110 section 7.6.1).
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Link:
    """One direction. Each datagram takes `delay_s` and up to `jitter_s` besides, by chance, so that they
    overtake each other; of a hundred `loss_percent` are lost and `double_percent` come twice."""

    loss_percent: float = 0
    jitter_s: float = 0
    delay_s: float = 0
    double_percent: float = 0


class Relay:
    """`with Relay(address, Link(loss_percent=5)) as relay:` — `relay.address` is for HTTP. `up` is the
    link to the server, `down` the one back; the same unless told."""

    def __init__(self, server, up=Link(), down=None, seed=1):
        self.server = server
        self.links = (up, up if down is None else down)
        self.random = random.Random(seed)
        self.sent = self.lost = 0
        self.paths = []
        self.proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
        self.proxy.relay = self
        self.proxy.daemon_threads = True
        self.address = f"127.0.0.1:{self.proxy.server_port}"

    def __enter__(self):
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.proxy.shutdown()
        self.proxy.server_close()
        for path in self.paths:
            path.close()

    def route(self, answer):
        """A session description whose one candidate is a port here that leads to the first of its own."""
        found = [match for match in CANDIDATE.finditer(answer) if match["transport"].lower() == "udp"]
        assert found, f"no candidate for UDP in {answer}"
        first = found[0]
        path = _Path(self, (first["ip"], int(first["port"])))
        self.paths.append(path)
        kept = set()

        def rewritten(match):
            # One for each media section, for those that are not bundled.
            section = answer.count("\nm=", 0, match.start())
            if match["transport"].lower() != "udp" or section in kept:
                return ""
            kept.add(section)
            ip, port = path.address
            return f"a=candidate:{match['head']}{match['transport']}{match[3]}{ip} {port}{match['tail']}\r\n"

        return CANDIDATE.sub(rewritten, answer)

    def fate(self, link):
        """How late each copy of a datagram is; none where it is lost."""
        self.sent += 1
        if self.random.random() * 100 < link.loss_percent:
            self.lost += 1
            return []
        copies = 2 if self.random.random() * 100 < link.double_percent else 1
        return [link.delay_s + self.random.random() * link.jitter_s for _ in range(copies)]


class _Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        relay = self.server.relay
        is_offer = self.command == "POST" and self.path.startswith("/whip/")
        if is_offer:
            # The server must not find a way around the relay.
            body = CANDIDATE.sub("", body.decode()).encode()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        connection = http.client.HTTPConnection(relay.server, timeout=60)
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        if is_offer and answer.status == 201:
            content = relay.route(content.decode()).encode()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        connection.close()

    do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do_OPTIONS = pass_on

    def log_message(self, *_):
        pass


class _Path(threading.Thread):
    """The way of one session's media: a socket that clients send to, and for each client one to the server."""

    def __init__(self, relay, target):
        super().__init__(daemon=True)
        self.relay, self.target = relay, target
        self.clients = self.socket()
        self.clients.bind(("127.0.0.1", 0))
        self.address = self.clients.getsockname()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.clients, selectors.EVENT_READ)
        self.servers = {}  # by the client's address
        self.late = []  # heap of (due, order, send, datagram)
        self.order = itertools.count()
        self.closing = False
        self.start()

    @staticmethod
    def socket():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        made.setblocking(False)
        return made

    def close(self):
        self.closing = True
        self.join()

    def run(self):
        while not self.closing:
            wait = self.late[0][0] - time.monotonic() if self.late else 0.1
            for key, _ in self.selector.select(max(0, min(wait, 0.1))):
                self.receive(key)
            while self.late and self.late[0][0] <= time.monotonic():
                _, _, send, datagram = heapq.heappop(self.late)
                try:
                    send(datagram)
                except OSError:
                    pass  # the other side is gone, or slow: a datagram is lost
        for made in (self.clients, *self.servers.values()):
            made.close()

    def receive(self, key):
        up, down = self.relay.links
        while True:
            try:
                datagram, sender = key.fileobj.recvfrom(65536)
            except OSError:
                return
            if key.fileobj is self.clients:
                self.schedule(datagram, up, self.server_of(sender).send)
            else:
                client = key.data
                self.schedule(datagram, down, lambda data, client=client: self.clients.sendto(data, client))

    def server_of(self, client):
        if client not in self.servers:
            made = self.socket()
            made.connect(self.target)
            self.servers[client] = made
            self.selector.register(made, selectors.EVENT_READ, client)
        return self.servers[client]

    def schedule(self, datagram, link, send):
        for late_s in self.relay.fate(link):
            heapq.heappush(self.late, (time.monotonic() + late_s, next(self.order), send, datagram))
