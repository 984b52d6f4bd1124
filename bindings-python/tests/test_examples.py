"""The examples, run as a user runs them."""

import signal
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import DEADLINE, packets

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "python"


@pytest.fixture
def start(run_child: Callable[..., Any]) -> Callable[..., Any]:
    return lambda name, *arguments: run_child(str(EXAMPLES / name), "--listen", "127.0.0.1:0", *arguments)


def address(example: Any) -> str:
    line = example.stdout.readline()
    return line.split("rtmp://")[1].split("/")[0]


@pytest.mark.parametrize("name", ["record.py", "record_async.py"])
def test_an_example_prints_the_finished_file(
    name: str, start: Callable[..., Any], publish: Callable[..., Any], tmp_path: Path
) -> None:
    example = start(name, "--dir", str(tmp_path / "records"), "--files", "1")
    publish(address(example), "demo").wait()
    out, err = example.communicate(timeout=DEADLINE)
    assert (example.returncode, err) == (0, "")
    [line] = [line for line in out.splitlines() if ".mp4" in line]
    assert packets(Path(line.split("  ")[0]))["audio"] > 0


@pytest.mark.parametrize("name", ["record.py", "record_async.py"])
def test_ctrl_c_finishes_the_files_of_an_example(
    name: str, start: Callable[..., Any], publish: Callable[..., Any], tmp_path: Path
) -> None:
    example = start(name, "--dir", str(tmp_path / "records"))
    publish(address(example), "demo", forever=True)
    assert "published" in example.stdout.readline()
    example.send_signal(signal.SIGINT)
    out, err = example.communicate(timeout=DEADLINE)
    assert (example.returncode, err) == (0, "")
    [file] = (tmp_path / "records").glob("*.mp4")
    assert str(file) in out and packets(file)


def test_pushed_frames_become_a_file(run_child: Callable[..., Any], tmp_path: Path) -> None:
    source = tmp_path / "sound.aac"
    sine = ["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=2", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-v", "error", *sine, str(source)], check=True)
    example = run_child(str(EXAMPLES / "push.py"), str(source), str(tmp_path / "records"))
    out, err = example.communicate(timeout=DEADLINE)
    assert (example.returncode, err) == (0, "")
    [file] = (tmp_path / "records").glob("*.mp4")
    assert str(file) in out and packets(file)["audio"] > 90
