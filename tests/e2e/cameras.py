"""Gets media files.
Gives RTSP servers that play them as cameras do: GStreamer's (rtsp_server.py), and VLC."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).parent / "rtsp_server.py"


class Camera:
    """gst-rtsp-server with mounts: `Camera({"door": path}, auth="digest")`. It can be killed and come
    back on its port."""

    def __init__(self, mounts, **options):
        # Debian's own Python: GStreamer's bindings are made for no other.
        self.command = ["/usr/bin/python3", str(SCRIPT)]
        self.command += [word for key, value in options.items() for word in ("--" + key, str(value))]
        self.mounts = [f"/{name}={media}" for name, media in mounts.items()]
        self.port = 0
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def start(self):
        command = [*self.command, "--port", str(self.port), *self.mounts]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        return self

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def url(self, name, credentials=""):
        return f"rtsp://{credentials}127.0.0.1:{self.port}/{name}"


def free_port():
    """A TCP port that nobody has now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def vlc(path):
    """VLC's RTSP server, which packs and times packets by code of its own: its URL, once it plays."""
    port = free_port()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        # It refuses to run as root, and nobody may not look into root's folders.
        os.chmod(folder, 0o755)
        shutil.copy(path, folder)
        command = ["setpriv", "--reuid=65534", "--clear-groups"] if os.getuid() == 0 else []
        command += ["cvlc", "-I", "dummy", "-q", "--no-sout-all", f"{folder}/{Path(path).name}"]
        command += [f"--sout=#rtp{{sdp=rtsp://127.0.0.1:{port}/v}}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield f"rtsp://127.0.0.1:{port}/v"
        finally:
            process.kill()
            process.wait()
