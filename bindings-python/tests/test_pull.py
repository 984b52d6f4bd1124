"""Pulls: what is wrong is said at once, a source that is away by an event."""

import socket
from pathlib import Path

import livereel
import pytest


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_source_that_is_away_is_told_and_tried_until_the_session_is_ended(tmp_path: Path) -> None:
    url = f"rtsp://user:secret@127.0.0.1:{closed_port()}/door"
    engine = livereel.Engine(record_dir=tmp_path, pull_retry_max_delay=500)
    with pytest.raises(livereel.InvalidStateError):
        engine.pull(url)
    engine.start()
    events = engine.events(timeout=60)
    session = engine.pull(url, login="me", transport="udp", template="{streamName}", rotation="5m")
    warning = next(event for event in events if isinstance(event, livereel.Warning))
    assert warning.code == "pull_failed"
    assert "secret" not in warning.message
    assert warning.media_session_id == session.id
    assert [(info.stream_name, info.protocol) for info in engine.sessions()] == [("door", "rtsp")]
    session.terminate()
    assert engine.sessions() == []
    engine.stop()


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    engine = livereel.Engine(record_dir=tmp_path)
    engine.start()
    for wrong in ("http://127.0.0.1/a", "rtsp:///a", ""):
        with pytest.raises(livereel.InvalidArgumentError):
            engine.pull(wrong)
    with pytest.raises(livereel.InvalidArgumentError, match="tcp or udp"):
        engine.pull("rtsp://127.0.0.1/a", transport="quic")  # type: ignore[arg-type]
    with pytest.raises(livereel.InvalidArgumentError):
        engine.pull("rtsp://127.0.0.1/a", rotation="often")
    assert engine.sessions() == []
    engine.stop()
