#!/usr/bin/python3
"""Gets media files and options on its command line; needs GStreamer's RTSP server library.
Gives an RTSP server that behaves as a camera, and prints its port as its first line.

    rtsp_server.py [--port N] [--auth basic|digest] /name=file.mp4 ... [/name=frames:file.h264]

A file plays in real time from its beginning for each client and then says BYE. `frames:` is a camera
that runs whether anybody looks or not: an Annex B stream of one key frame a second, repeated for ever,
whose pictures are numbered by the server's own clock; each picture carries its number in an SEI message, so that whoever reads the
recording knows when the camera sent it. `--user` and `--password` name the credentials (reel, s3cret).
It runs until it is killed."""

import argparse
import signal
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

#: Pictures a second of `frames:`.
RATE = 30

#: What the SEI message of a picture begins with: a UUID of ours (ITU-T H.264 section D.1.7).
SEI_UUID = b"livereel-frame-n"

PAYLOADERS = {
    "video/x-h264": "h264parse ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
    "video/x-h265": "h265parse ! rtph265pay config-interval=-1 aggregate-mode=zero-latency",
    "video/x-vp8": "rtpvp8pay",
    "audio/mpeg": "aacparse ! rtpmp4gpay",
    "audio/latm": "aacparse ! rtpmp4apay",
    "audio/x-opus": "opusparse ! rtpopuspay",
    "audio/x-alaw": "rtppcmapay",
    "audio/x-mulaw": "rtppcmupay",
}


def launch_line(path):
    """The pipeline of a file: told by the parts of its name, `clip.h264.aac.mp4`."""
    kinds = {
        "h264": "video/x-h264",
        "h265": "video/x-h265",
        "vp8": "video/x-vp8",
        "aac": "audio/mpeg",
        "latm": "audio/latm",
        "opus": "audio/x-opus",
        "pcma": "audio/x-alaw",
        "pcmu": "audio/x-mulaw",
    }
    demuxer = {"mp4": "qtdemux", "mkv": "matroskademux", "wav": "wavparse", "ogg": "oggdemux"}[path.rsplit(".", 1)[1]]
    line = f"( filesrc location={path} ! {demuxer} name=d "
    found = [word for word in path.rsplit("/", 1)[-1].split(".")[1:-1] if word in kinds]
    for index, word in enumerate(found):
        kind = kinds[word].split("/")[0]
        pad = {"qtdemux": f"d.{kind}_0", "matroskademux": f"d.{kind}_0"}.get(demuxer, "d.")
        line += f"{pad} ! queue ! {PAYLOADERS[kinds[word]]} name=pay{index} pt={96 + index} "
    return line + ")"


class Camera:
    """Pictures in Annex B, each with its number by the clock since the epoch."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        self.pictures = []
        sets = b""
        for unit in data.split(b"\x00\x00\x01")[1:]:
            unit = unit.rstrip(b"\x00")
            kind = unit[0] & 31
            if kind in (7, 8):
                sets += b"\x00\x00\x00\x01" + unit
            elif kind in (1, 5):
                self.pictures.append((sets, unit, kind == 5))
                sets = b""
        assert self.pictures[0][2] and all(self.pictures[at][2] for at in range(0, len(self.pictures), RATE))

    def picture(self, number):
        sets, unit, _ = self.pictures[number % len(self.pictures)]
        # Each byte in two halves, so that nothing looks like a start code.
        digits = b"".join(bytes([0x10 | byte >> 4, 0x10 | byte & 15]) for byte in number.to_bytes(8, "big"))
        payload = SEI_UUID + digits
        sei = bytes([6, 5, len(payload)]) + payload + b"\x80"
        return sets + b"\x00\x00\x00\x01" + sei + b"\x00\x00\x00\x01" + unit

    def feed(self, source):
        """Sends from the next key frame on, each picture at its time."""
        first = (int(time.time() * RATE) // RATE + 1) * RATE
        number, base = first, None
        while True:
            time.sleep(max(0.0, number / RATE - time.time()))
            if base is None:
                clock = source.get_clock()
                base = clock.get_time() - source.get_base_time() if clock else 0
            buffer = Gst.Buffer.new_wrapped(self.picture(number))
            buffer.pts = buffer.dts = base + (number - first) * Gst.SECOND // RATE
            buffer.duration = Gst.SECOND // RATE
            if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return
            number += 1


class CameraFactory(GstRtspServer.RTSPMediaFactory):
    def __init__(self, path):
        super().__init__()
        self.camera = Camera(path)
        # One stream for all who look, and one who always does.
        self.set_shared(True)
        self.viewer = None
        caps = f"video/x-h264,stream-format=byte-stream,alignment=au,framerate={RATE}/1"
        self.set_launch(
            f"( appsrc name=source is-live=true format=time caps={caps} "
            "! h264parse ! rtph264pay config-interval=-1 aggregate-mode=zero-latency name=pay0 pt=96 )"
        )
        self.connect("media-configure", self.configured)

    def configured(self, _factory, media):
        source = media.get_element().get_by_name_recurse_up("source")
        threading.Thread(target=self.camera.feed, args=(source,), daemon=True).start()


    def run(self, url, then):
        """Has it run, and calls `then` once it does."""
        self.viewer = Gst.parse_launch(f"rtspsrc location={url} protocols=tcp ! fakesink name=sink signal-handoffs=true")
        self.viewer.get_by_name("sink").connect("handoff", lambda *_: then())
        self.viewer.set_state(Gst.State.PLAYING)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--auth", choices=["basic", "digest"])
    parser.add_argument("--user", default="reel")
    parser.add_argument("--password", default="s3cret")
    parser.add_argument("mounts", nargs="+")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    if options.auth:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        if options.auth == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(options.user, options.password, token)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(options.user, options.password), token)
        server.set_auth(auth)
    points = server.get_mount_points()
    running = {}
    for mount in options.mounts:
        path, media = mount.split("=", 1)
        if media.startswith("frames:"):
            factory = CameraFactory(media.removeprefix("frames:"))
        else:
            factory = GstRtspServer.RTSPMediaFactory()
            factory.set_launch(launch_line(media))
        if options.auth:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("user", "media.factory.access", True)
            permissions.add_permission_for_role("user", "media.factory.construct", True)
            factory.set_permissions(permissions)
        points.add_factory(path, factory)
        if isinstance(factory, CameraFactory):
            running[path] = factory
    assert server.attach(None), "the port is taken"
    port = server.get_bound_port()
    waited_for = set(running)

    def runs(path=None):
        if path in waited_for or not running:
            waited_for.discard(path)
            if not waited_for:
                print(port, flush=True)

    for path, factory in running.items():
        factory.run(f"rtsp://127.0.0.1:{port}{path}", lambda path=path: runs(path))
    runs()
    GLib.MainLoop().run()


main()
