"""Settings as keyword arguments."""

import os
from pathlib import Path
from typing import Any

import pytest

import livereel
from livereel._settings import setting_text


def test_values_of_python_become_the_text_of_settings() -> None:
    assert setting_text("record_streams", True) == "true"
    assert setting_text("record_streams", False) == "false"
    assert setting_text("record_threads", 4) == "4"
    assert setting_text("record_stop_timeout", 2.5) == "2.5"
    assert setting_text("record_rotation", "5m") == "5m"
    assert setting_text("record_dir", Path("a") / "b") == "a/b"


@pytest.mark.parametrize("value", [b"bytes", ["list"], {"a": 1}, object()])
def test_other_types_are_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match="setting record_dir"):
        livereel.Engine(record_dir=value)


def test_all_wrong_settings_are_listed_at_once() -> None:
    with pytest.raises(livereel.ConfigError) as raised:
        livereel.Engine(record_rotation="often", record_threads="many", record_audio_codec_channels=7)
    for part in ("record_rotation", "often", "record_threads", "many", "record_audio_codec_channels", "7"):
        assert part in str(raised.value)


def test_unknown_keys_are_listed_with_everything_else_that_is_wrong() -> None:
    wrong: dict[str, Any] = {"record_foo": 1, "record_rotatoin": "5m", "record_rotation": "often"}
    with pytest.raises(livereel.ConfigError) as raised:
        livereel.Engine(**wrong)
    for part in ("record_foo", "did you mean record_rotation?", "often"):
        assert part in str(raised.value)


def test_none_means_not_given() -> None:
    livereel.Engine(on_record_hook_script=None)


def test_a_file_gives_settings_and_keyword_arguments_go_over_them(tmp_path: Path) -> None:
    file = tmp_path / "livereel.toml"
    file.write_text(f'record_dir = "{tmp_path}/from-file"\nrtmp_listen = "127.0.0.1:0"\n')
    with livereel.Engine(config_file=file, record_threads=1):
        assert (tmp_path / "from-file").is_dir()
    with livereel.Engine(config_file=str(file), record_threads=1, record_dir=tmp_path / "from-call"):
        assert (tmp_path / "from-call").is_dir()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(livereel.Error, match="missing.toml"):
        livereel.Engine(config_file=tmp_path / "missing.toml")


def test_the_environment_goes_over_the_file_and_is_read_only_where_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEREEL_RECORD_ROTATION", "often")
    livereel.Engine()
    file = tmp_path / "livereel.toml"
    file.write_text('record_rotation = "never"\n')
    with pytest.raises(livereel.ConfigError, match="LIVEREEL_RECORD_ROTATION.*often"):
        livereel.Engine(config_file=file, environment=os.environ)
    livereel.Engine(config_file=file, environment=os.environ, record_rotation="disabled")
