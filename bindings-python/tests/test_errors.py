"""Failures of the engine as exceptions."""

import builtins
import errno
import pickle
from pathlib import Path
from typing import Any

import pytest

import livereel
from livereel import _livereel
from livereel._errors import from_native


def test_builtin_bases_catch_what_they_should() -> None:
    assert issubclass(livereel.InvalidArgumentError, ValueError)
    assert issubclass(livereel.ConfigError, ValueError)
    assert issubclass(livereel.NotFoundError, LookupError)
    assert issubclass(livereel.TimeoutError, builtins.TimeoutError)
    assert issubclass(livereel.DiskFullError, OSError)
    assert issubclass(livereel.AccessDeniedError, PermissionError)
    assert not issubclass(livereel.CancelledError, builtins.BaseException.__class__)


@pytest.mark.parametrize("kind", list(livereel.ERROR_CLASSES))
def test_an_error_of_each_kind_keeps_sentence_and_facts(kind: str) -> None:
    error = from_native(kind, "cannot write: no space (path: a)", "write", [("path", "a")], True, errno.ENOSPC)
    assert type(error) is livereel.ERROR_CLASSES[kind]
    assert str(error) == "cannot write: no space (path: a)"
    assert (error.kind, error.operation, error.context, error.may_retry) == (kind, "write", {"path": "a"}, True)
    if isinstance(error, OSError):
        assert error.errno == errno.ENOSPC
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)
    assert (again.operation, again.context, again.may_retry) == ("write", {"path": "a"}, True)


def test_a_panic_is_an_internal_error_that_except_exception_catches(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(livereel.InternalError, match="asked for by a test") as raised:
        _livereel._panic_for_tests()
    assert isinstance(raised.value, Exception)
    capfd.readouterr()


def test_unknown_ids_are_not_found(engine: livereel.Engine) -> None:
    with pytest.raises(livereel.NotFoundError, match="nobody"):
        engine.session("nobody")
    with pytest.raises(LookupError):
        engine.recording("nobody")


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_timeout_that_is_no_length_of_time_is_refused(engine: livereel.Engine, seconds: float) -> None:
    with pytest.raises(livereel.InvalidArgumentError) as raised:
        engine.stop(timeout=seconds)
    assert "timeout_seconds" in raised.value.context


def test_a_second_start_is_an_invalid_state(engine: livereel.Engine) -> None:
    with engine:
        with pytest.raises(livereel.InvalidStateError):
            engine.start()


def test_an_address_in_use_leaves_the_engine_ready_for_another_start(
    engine: livereel.Engine, settings: dict[str, Any], tmp_path: Path
) -> None:
    with engine:
        settings["rtmp_listen"] = engine.address("rtmp")
        settings["record_dir"] = tmp_path / "other"
        other = livereel.Engine(**settings)
        with pytest.raises(OSError) as raised:
            other.start()
        assert isinstance(raised.value, livereel.Error)
        assert raised.value.errno == errno.EADDRINUSE
    with other:
        assert other.address("rtmp") == settings["rtmp_listen"]
