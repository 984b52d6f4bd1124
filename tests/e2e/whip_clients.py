"""Gets the address of a server's HTTP listener, or of a relay before it.
Gives publishers by WHIP of several makers, each with its own media, until they are told to end."""

import contextlib
import os
import subprocess
from pathlib import Path

import av_sync
from publishers import FFMPEG_9

HERE = Path(__file__).parent
NODE_MODULES = Path(os.environ.get("REEL_CACHE", Path.home() / ".cache/livereel")) / "npm/node_modules"


def url(address, stream):
    return f"http://{address}/whip/{stream}?record=true"


def ffmpeg(address, stream, seconds):
    """The command of an ffmpeg 9 that flashes and beeps over WHIP for so long, and then ends."""
    codecs = "-c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -g 30 -b:v 500k -pix_fmt yuv420p"
    sound = "-c:a libopus -ar 48000 -ac 2 -b:a 96k"
    command = [FFMPEG_9, "-v", "error", "-nostdin", *av_sync.LAVFI_SOURCE, "-t", str(seconds)]
    return [*command, *codecs.split(), *sound.split(), "-f", "whip", url(address, stream)]


class NodeClient:
    """A client that is told what to do by lines."""

    def __init__(self, process):
        self.process = process

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self):
        self.tell("end")
        assert self.process.wait(30) == 0


@contextlib.contextmanager
def node(script, *arguments):
    """A client of `script`, once it is connected."""
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    command = ["node", str(HERE / script), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        line = process.stdout.readline()
        assert line == "connected\n", f"{script} said {line!r}"
        yield NodeClient(process)
    finally:
        process.kill()
        process.communicate()
