"""The tables of the engine against the classes of the Python face."""

import dataclasses
import re
from pathlib import Path

import pytest

import livereel
from livereel import _livereel
from livereel._settings import Settings


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def test_every_error_kind_has_a_class_of_its_name() -> None:
    names = [name for _, name in _livereel.ERROR_KINDS]
    assert list(livereel.ERROR_CLASSES) == names
    for name, cls in livereel.ERROR_CLASSES.items():
        expected = "ConfigError" if name == "invalid_config" else camel(name) + "Error"
        assert cls.__name__ == expected
        assert cls is getattr(livereel, expected)
        assert cls.kind == name
        assert issubclass(cls, livereel.Error)


def test_every_event_has_a_class_of_its_name() -> None:
    assert list(livereel.EVENT_CLASSES) == list(livereel.EVENT_NAMES)
    for name, cls in livereel.EVENT_CLASSES.items():
        assert cls is getattr(livereel, camel(name))
        assert issubclass(cls, livereel.Event)
        assert cls.__doc__


def test_every_event_has_a_decorator(engine: livereel.Engine) -> None:
    for name in livereel.EVENT_NAMES:

        def callback(event: livereel.Event) -> None: ...

        assert getattr(engine, f"on_{name}")(callback) is callback


def test_every_setting_is_known_to_type_checkers() -> None:
    assert list(Settings.__annotations__) == list(livereel.SETTING_KEYS)


def test_the_file_of_an_event_and_of_recover_have_the_same_fields() -> None:
    base = {field.name for field in dataclasses.fields(livereel.Event)}
    own = [field.name for field in dataclasses.fields(livereel.FileFinished) if field.name not in base]
    assert own == [field.name for field in dataclasses.fields(livereel.FinishedFile)]


def test_everything_public_is_documented() -> None:
    for name in livereel.__all__:
        thing = getattr(livereel, name)
        if isinstance(thing, type):
            assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), name
            for member, value in vars(thing).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    assert value.__doc__, f"{name}.{member}"


@pytest.mark.parametrize("file", ["engine.rs", "events.rs", "session.rs"])
def test_every_entry_of_the_native_module_goes_through_the_guard(file: str) -> None:
    source = (Path(__file__).parent.parent / "src" / file).read_text()
    blocks = re.findall(r"^#\[(?:pymethods|pyfunction)\]\n.*?^}\n", source, re.M | re.S)
    assert blocks
    for block in blocks:
        functions = re.findall(r"^( *)(?:pub\(crate\) )?fn (\w+)\([^{]*\{(.*?)^\1}", block, re.M | re.S)
        assert len(functions) == len(re.findall(r"\bfn \w+\(", block))
        for _, name, body in functions:
            assert re.search(r"\.call\(py, |\bguarded\(py, ", body), name
