"""Gets settings.
Gives a running livereel-server: its events as they come, its address, its memory, and a clean stop."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASE = Path(os.environ.get("REEL_TARGET", ROOT / "target")) / "release"
BINARY = Path(os.environ.get("REEL_SERVER", RELEASE / "livereel-server"))

#: The events of the specification. Others may come with later versions, never with other names for these.
EVENT_NAMES = {
    "listening",
    "session_published",
    "session_ended",
    "recording_started",
    "file_finished",
    "recovered",
    "recording_finished",
    "recording_failed",
    "warning",
    "file_removed",
    "session_interrupted",
    "session_resumed",
}

#: How long anything may take that is not media in real time.
DEADLINE_S = 30


class Server:
    """`with Server(folder, record_rotation="5s") as server:` starts it; leaving stops and checks it."""

    def __init__(self, folder, wrapper=(), **settings):
        """`wrapper` is a command that becomes the server: it runs what follows it in its own process."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder.parent / f"{self.folder.name}-{os.getpid()}-{time.monotonic_ns()}.log"
        settings = {"rtmp_listen": "127.0.0.1:0", "record_dir": self.folder, **settings}
        self.command = [*(str(word) for word in wrapper), str(BINARY)]
        for key, value in settings.items():
            self.command += ["--" + key.replace("_", "-"), str(value).lower() if isinstance(value, bool) else str(value)]
        self.events = []
        self.changed = threading.Condition()
        self.process = None
        self.output_ended = False

    def __enter__(self):
        return self.start()

    def __exit__(self, error, *_):
        if self.process.poll() is None:
            if error:
                self.kill()
            else:
                self.stop()

    def start(self):
        # Settings of whoever runs the tests are not those of the test.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LIVEREEL_")}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, env=environment)
        threading.Thread(target=self._read, daemon=True).start()
        self.address = self.wait_for("listening", protocol="rtmp")["address"]
        return self

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.output_ended = True
            self.changed.notify_all()

    def url(self, stream=""):
        """Where to publish: of a stream, or of the app alone."""
        return f"rtmp://{self.address}/live" + (f"/{stream}" if stream else "")

    def named(self, name, **fields):
        """The events so far of this name with these fields."""
        wanted = {"event": name, **fields}
        return [event for event in list(self.events) if wanted.items() <= event.items()]

    def wait_for(self, name, deadline_s=DEADLINE_S, count=1, **fields):
        """The event of this name with these fields, once `count` of them are there: the last one."""
        with self.changed:
            arrived = self.changed.wait_for(
                lambda: len(self.named(name, **fields)) >= count or self.output_ended, deadline_s
            )
            found = self.named(name, **fields)
        if arrived and len(found) >= count:
            return found[count - 1]
        raise AssertionError(
            f"{len(found)} of {count} {name} {fields} within {deadline_s} s; events: "
            f"{[event['event'] for event in self.events][-20:]}; log: {self.log.read_text()[-3000:]}"
        )

    def finished(self, stream, deadline_s=DEADLINE_S):
        """The one file of a stream, once its recording is over: the event and the path."""
        self.wait_for("recording_finished", deadline_s, stream_name=stream)
        files = self.named("file_finished", stream_name=stream)
        assert len(files) == 1, files
        path = Path(files[0]["path"])
        assert path.is_absolute() and path.is_file(), path
        return files[0], path

    def growing(self):
        """The media file that grows in the record folder."""
        return [path for path in self.folder.glob("*.growing") if not path.name.endswith(".json.growing")]

    def wait_for_bytes(self, size, deadline_s=DEADLINE_S):
        """Returns once the one growing file has that many bytes."""
        ends = time.monotonic() + deadline_s
        while not any(path.stat().st_size >= size for path in self.growing()):
            assert time.monotonic() < ends, f"no growing file of {size} bytes within {deadline_s} s"
            time.sleep(0.02)

    def descriptors(self):
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def written_bytes(self):
        """What it has handed to write calls so far."""
        status = Path(f"/proc/{self.process.pid}/io").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("wchar"))

    def memory_kib(self, field="VmHWM"):
        """The peak resident memory so far (VmHWM), or the present one (VmRSS), in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field))

    def stop(self, how=signal.SIGTERM):
        """Asks it to stop, waits for all events, and checks exit code and event order."""
        self.process.send_signal(how)
        assert self.process.wait(DEADLINE_S) == 0, self.log.read_text()[-3000:]
        with self.changed:
            assert self.changed.wait_for(lambda: self.output_ended, DEADLINE_S)
        self.check_events()
        left = [path.name for path in self.folder.iterdir() if "growing" in path.name]
        assert not left, f"a clean stop left {left}"
        return self.events

    def kill(self):
        """SIGKILL: the end of a crash."""
        self.process.kill()
        self.process.wait()

    def check_events(self):
        """Numbered without a hole, dated, named as specified."""
        numbers = [event["seq"] for event in self.events]
        assert numbers == list(range(1, len(numbers) + 1)), (numbers, self.events[:3])
        names = {event["event"] for event in self.events}
        assert names <= EVENT_NAMES, names - EVENT_NAMES
        assert all("T" in event["time"] for event in self.events)
