"""The types that the package declares."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent

pytest.importorskip("mypy")


def run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_package_and_examples_pass_strict_mypy(tmp_path: Path) -> None:
    examples = sorted(str(path) for path in (HERE.parent / "examples" / "python").glob("*.py"))
    run("mypy", "--strict", "--cache-dir", str(tmp_path), "python/livereel")
    run("mypy", "--strict", "--cache-dir", str(tmp_path), *examples)


def test_the_stub_of_the_native_module_is_what_the_module_has(tmp_path: Path) -> None:
    run("mypy.stubtest", "livereel._livereel")


def test_a_wrong_setting_name_and_a_wrong_callback_are_type_errors(tmp_path: Path) -> None:
    program = tmp_path / "wrong.py"
    program.write_text(
        "import livereel\n"
        "engine = livereel.Engine(record_dri='a')\n"
        "@engine.on_file_finished\n"
        "def one(event: livereel.Warning) -> None: ...\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "record_dri" in done.stdout and "on_file_finished" in done.stdout
