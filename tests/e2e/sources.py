"""Gets nothing: makes test media with ffmpeg, once, into a cache folder.
Gives paths of source files to the tests; a name says what is in the file."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("REEL_CACHE", Path.home() / ".cache/livereel")) / "media-1"

VIDEO = ["-f", "lavfi", "-i", "testsrc2=size={size}:rate=30"]
AUDIO = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
H264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "2", "-flags", "+bitexact"]
AAC = ["-c:a", "aac", "-b:a", "96k", "-ac", "2"]


def _ffmpeg(name, arguments):
    """The cached file `name`, made by ffmpeg from `arguments` where it is not there yet."""
    path = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes start at once
        if not path.exists():
            growing = CACHE / f"growing-{name}"
            command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments, growing]
            subprocess.run(command, check=True)
            growing.rename(path)
    return path


def _encode(name, seconds, gop=60, size="640x360", bitrate="500k", audio=AAC):
    video = [word.format(size=size) for word in VIDEO]
    codecs = [*H264, "-g", str(gop), "-b:v", bitrate, "-maxrate", bitrate, "-bufsize", "1M", *audio]
    return _ffmpeg(name, [*video, *AUDIO, "-t", str(seconds), *codecs])


def minute_mp4():
    """60 s of H.264 with B-frames and AAC, with the edit lists that ffmpeg writes."""
    return _encode("minute.mp4", 60)


def minute_flv():
    """The same media as `minute_mp4`."""
    return _ffmpeg("minute.flv", ["-i", minute_mp4(), "-c", "copy"])


def short_flv():
    """5 s of H.264 with B-frames and AAC."""
    return _encode("short.flv", 5)


def second_gop_flv():
    """60 s with a key frame a second, which bounds the fragments of a growing file."""
    return _encode("second-gop.flv", 60, gop=30)


def rated_flv(rate):
    """30 s at a bit rate of "64k", "1M" or "20M": noise, so that the encoder needs all of it."""
    size = {"64k": "160x90", "1M": "640x360", "20M": "1280x720"}[rate]
    noise = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30,noise=alls=60:allf=t", *AUDIO, "-t", "30"]
    video = [*H264, "-preset", "ultrafast", "-bf", "2", "-g", "60", "-b:v", rate, "-maxrate", rate, "-bufsize", rate]
    return _ffmpeg(f"rated-{rate}.flv", [*noise, *video, "-c:a", "aac", "-b:a", "24k", "-ac", "1"])


def long_gop_flv():
    """12 s with a single key frame at the start."""
    return _encode("long-gop.flv", 12, gop=100000)


def audio_only_flv():
    """6 s of AAC."""
    return _ffmpeg("audio-only.flv", ["-i", _encode("six.flv", 6), "-c", "copy", "-vn"])


def video_only_flv():
    """6 s of H.264 with B-frames."""
    return _ffmpeg("video-only.flv", ["-i", _encode("six.flv", 6), "-c", "copy", "-an"])


def mp3_flv():
    """6 s of H.264 and MP3, as old encoders send it."""
    return _encode("mp3.flv", 6, audio=["-c:a", "libmp3lame", "-ar", "44100", "-b:a", "128k"])


def changing_flv():
    """4 s of 640x360, then 4 s of 320x240: the sequence headers change in mid-stream."""
    return _joined("changing.flv", _encode("wide.flv", 4), _encode("narrow.flv", 4, size="320x240"))


def restarting_flv():
    """6 s, then the same 6 s with the timestamps back at 0, on one connection."""
    return _joined("restarting.flv", _encode("six.flv", 6), _encode("six.flv", 6), shift=False)


def flv_tags(path):
    """The tags of an FLV file: type, milliseconds, payload."""
    data = Path(path).read_bytes()
    tags, at = [], 13
    while at + 11 <= len(data):
        kind = data[at]
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        ms = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        tags.append((kind, ms, data[at + 11 : at + 11 + size]))
        at += 11 + size + 4
    return tags


def _joined(name, first, second, shift=True):
    """One FLV of two: the second's times go on after the first's, or begin again."""
    path = CACHE / name
    if path.exists():
        return path
    # The AVC end-of-sequence tag would end the stream where only its format changes.
    tags = [tag for tag in flv_tags(first) if not (tag[0] == 9 and tag[2][1] == 2)]
    offset = max(ms for _, ms, _ in tags) + 34 if shift else 0
    tags += [(kind, ms + offset, payload) for kind, ms, payload in flv_tags(second) if kind != 18]
    out = bytearray(b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00")
    for kind, ms, payload in tags:
        head = bytes([kind]) + len(payload).to_bytes(3, "big")
        head += (ms & 0xFFFFFF).to_bytes(3, "big") + bytes([ms >> 24]) + bytes(3)
        out += head + payload + struct.pack(">I", len(head) + len(payload))
    growing = CACHE / f"growing-{os.getpid()}-{name}"
    growing.write_bytes(out)
    growing.rename(path)
    return path


def rtsp_files():
    """4 s of each codec that cameras send, by the name of its stream. The words of a file's name tell
    `rtsp_server.py` what is in it. AAC is in Matroska, which has no edit list: GStreamer cuts off what one hides."""
    picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-t", "4", "-pix_fmt", "yuv420p", "-g", "30"]
    sound = [*AUDIO, "-t", "4"]
    x264 = ["-c:v", "libx264", "-preset", "veryfast"]
    x265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-tag:v", "hvc1"]
    telephone = ["-ar", "8000", "-ac", "1"]
    both = [*AUDIO, *picture, *x264, "-bf", "0", *AAC]
    return {
        "h264": _ffmpeg("rtsp.h264.aac.mkv", both),
        "bframes": _ffmpeg("rtsp-b.h264.mp4", [*picture, *x264, "-bf", "2"]),
        "h265": _ffmpeg("rtsp.h265.mp4", [*picture, *x265]),
        "aac": _ffmpeg("rtsp.aac.mkv", [*sound, *AAC]),
        "latm": _ffmpeg("rtsp.latm.mkv", [*sound, *AAC]),
        "opus": _ffmpeg("rtsp.opus.mkv", [*sound, "-c:a", "libopus"]),
        "pcma": _ffmpeg("rtsp.pcma.wav", [*sound, *telephone, "-c:a", "pcm_alaw"]),
        "pcmu": _ffmpeg("rtsp.pcmu.wav", [*sound, *telephone, "-c:a", "pcm_mulaw"]),
        "vp8": _ffmpeg("rtsp.vp8.mkv", [*picture, "-c:v", "libvpx", "-deadline", "realtime"]),
    }


def camera_h264():
    """10 s of H.264 in Annex B: one slice a picture, a key frame a second, nothing reordered."""
    every_second = ["-g", "30", "-keyint_min", "30", "-sc_threshold", "0", "-bf", "0"]
    one_slice = ["-x264-params", "sliced-threads=0:slices=1"]
    video = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-t", "10", "-pix_fmt", "yuv420p"]
    return _ffmpeg("camera.h264", [*video, "-c:v", "libx264", "-preset", "veryfast", *every_second, *one_slice])
