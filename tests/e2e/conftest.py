"""Gets pytest's temporary folders.
Gives every test a `serve` that starts servers and stops them when the test is over."""

import pytest

pytest.register_assert_rewrite("media", "server")

from server import BINARY, Server  # noqa: E402


def pytest_configure(config):
    if not BINARY.exists():
        raise pytest.UsageError(f"{BINARY} is missing: run `make build` first")


@pytest.fixture
def serve(tmp_path):
    """`serve(record_formats="h264-ts")` is a running server with a folder of its own."""
    servers = []

    def start(folder=None, **settings):
        server = Server(folder or tmp_path / f"records-{len(servers)}", **settings)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        if server.process and server.process.poll() is None:
            server.kill()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: "minute" not in item.keywords)
