"""Gets a source file and the URL of a stream.
Gives running publishers: ffmpeg 5 and 9, GStreamer's two sinks, and livereel-load for many at once."""

import json
import subprocess
from contextlib import contextmanager

import imageio_ffmpeg

from server import RELEASE

LOAD = RELEASE / "livereel-load"
FFMPEG_9 = imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg(source, url, binary="ffmpeg"):
    """A command that copies `source` to `url` in real time, as it is."""
    return [binary, "-v", "error", "-nostdin", "-re", "-i", str(source), "-c", "copy", "-f", "flv", url]


def gstreamer(source, url, sink):
    """A pipeline that sends an FLV of H.264 and AAC through `sink` (rtmp2sink or rtmpsink)."""
    location = url + " live=1" if sink == "rtmpsink" else url
    return [
        *"gst-launch-1.0 -q -e flvmux name=mux streamable=true !".split(),
        *(sink, f"location={location}", "filesrc", f"location={source}"),
        *"! flvdemux name=demux demux.video ! h264parse ! identity sync=true ! queue ! mux.".split(),
        *"demux.audio ! aacparse ! identity sync=true ! queue ! mux.".split(),
    ]


def run(command, deadline_s=120):
    """Publishes to the end. The publisher must be content."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=deadline_s)
    assert done.returncode == 0, f"{command[0]}: {done.stderr[-2000:]}"
    return done


@contextmanager
def running(command):
    """A publisher in the background, ended with the block."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def load(source, url, publishers=1, prefix="load", **options):
    """The command of livereel-load; options as its flags, `speed=0` or `abrupt=True`."""
    command = [str(LOAD), "--input", str(source), "--url", url, "--publishers", str(publishers), "--prefix", prefix]
    for key, value in options.items():
        command += ["--" + key.replace("_", "-")] + ([] if value is True else [str(value)])
    return command


def summary(output):
    """What livereel-load says it sent."""
    return json.loads(output)
