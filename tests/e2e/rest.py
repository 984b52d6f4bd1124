"""Gets a running server with an HTTP listener.
Gives its answers: REST calls and plain requests, with nothing hidden by a client library."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message

#: How long an answer may take.
DEADLINE_S = 30


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def address(server, protocol="http"):
    return server.wait_for("listening", protocol=protocol)["address"]


def request(server, path, method="GET", body=None, token=None, **headers):
    """`headers` as keywords: `content_type="text/plain"`."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    asked = urllib.request.Request(f"http://{address(server)}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=DEADLINE_S) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def call(server, method, token=None, **fields):
    """A REST call: `call(server, "recorder/startup", mediaSessionId=…)`."""
    body = json.dumps(fields).encode()
    return request(server, f"/rest-api/{method}", "POST", body, token, content_type="application/json")
