"""Gets events and listings as the JSON text of the engine.

Gives them as frozen dataclasses, field for field.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Optional, TypeVar

_SLOTS: dict[str, bool] = {"slots": True} if sys.version_info >= (3, 10) else {}
_T = TypeVar("_T")


@dataclass(frozen=True, **_SLOTS)
class TrackFacts:
    """A track of a media session."""

    id: int
    """Its number within the session."""
    kind: str
    """``video`` or ``audio``."""
    codec: str
    width: Optional[int]
    """Picture width in pixels."""
    height: Optional[int]
    """Picture height in pixels."""
    sample_rate: Optional[int]
    """In Hz."""
    channels: Optional[int]


@dataclass(frozen=True, **_SLOTS)
class Gap:
    """A stretch of a track in which nothing was recorded."""

    at_ms: int
    """Where it begins, in milliseconds from the start of the file."""
    length_ms: int
    """How long it is; negative where a clock went back and samples were moved up."""
    cause: str


@dataclass(frozen=True, **_SLOTS)
class TrackBalance:
    """The balance sheet of one track in one file: samples in = written + dropped."""

    kind: str
    """``video`` or ``audio``."""
    codec: str
    samples_in: int
    samples_written: int
    dropped: Mapping[str, int]
    """Samples that are not in the file, by reason."""
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, **_SLOTS)
class FinishedFile:
    """A finished file, as :meth:`Engine.recover` lists it."""

    path: Path
    """The absolute path."""
    file_name: str
    """The name within ``record_dir``."""
    part: int
    """The part of the recording, from 1."""
    size_bytes: int
    container: str
    """``mp4``, ``ts`` or ``webm``."""
    video_codec: Optional[str]
    audio_codec: Optional[str]
    start_time_ms: int
    """The first sample by the stream's own clock."""
    end_time_ms: int
    """The end by the stream's own clock."""
    start_unix_ms: int
    """The start by the server's clock, in milliseconds since 1970."""
    end_unix_ms: int
    """The end by the server's clock, in milliseconds since 1970."""
    duration_ms: int
    """How long it plays."""
    reason: str
    """Why it ended: ``session_ended``, ``stopped``, ``rotation_duration``, ``disk_full``, ..."""
    tracks: tuple[TrackBalance, ...]
    sha256: Optional[str]
    """SHA-256 in lower-case hex, where the setting ``record_file_sha256`` asks for it."""


@dataclass(frozen=True, **_SLOTS)
class Event:
    """What every event has; ``None`` where the event is not about such a thing."""

    event: str
    """The name in snake case, one of ``EVENT_NAMES``."""
    seq: int
    """1, 2, 3 and so on, without a hole, for each engine."""
    time: datetime
    """When, by the server's clock (UTC)."""
    media_session_id: Optional[str]
    session_id: Optional[str]
    stream_name: Optional[str]
    login: Optional[str]
    recording_id: Optional[str]


@dataclass(frozen=True, **_SLOTS)
class Listening(Event):
    """A listener is open."""

    protocol: str
    """``rtmp``, ``http``, ``https`` or ``webrtc``."""
    address: str
    """``host:port``."""


@dataclass(frozen=True, **_SLOTS)
class SessionPublished(Event):
    """A media session began: its first sample is here."""

    protocol: str
    peer: str
    """``host:port`` of the other side."""
    tracks: tuple[TrackFacts, ...]
    """The tracks known by then."""


@dataclass(frozen=True, **_SLOTS)
class LinkFacts:
    """How a packet connection (WebRTC, RTSP over UDP) fares."""

    packets_received: int
    """Media packets that arrived, duplicates not counted."""
    packets_lost: int
    """Packets that never arrived, resent ones neither."""
    packets_duplicate: int
    packets_recovered: int
    """Packets that arrived only after they were asked for again."""
    nacks_sent: int
    """Requests for lost packets, one a packet."""
    key_frames_requested: int
    round_trip_ms: Optional[float]
    jitter_ms: Optional[float]


@dataclass(frozen=True, **_SLOTS)
class SessionEnded(Event):
    """A media session ended."""

    reason: str
    """``unpublished``, ``connection_lost``, ``idle``, ``terminated``, ``engine_stopped``, ..."""
    link: Optional[LinkFacts]
    """How its packet connection fared, where it came by one."""


@dataclass(frozen=True, **_SLOTS)
class SessionInterrupted(Event):
    """A publisher or camera went away; the session waits for it as long as the settings say."""

    reason: str
    """Why it went: ``connection_lost``, ``idle`` or ``protocol_error``."""


@dataclass(frozen=True, **_SLOTS)
class SessionResumed(Event):
    """It is back: the session and its recordings go on."""

    peer: str
    """``host:port`` of the other side."""
    away_ms: int
    """How long it was away."""


@dataclass(frozen=True, **_SLOTS)
class RecordingStarted(Event):
    """A recording began."""

    file_name: str
    """The file's name, elements that are not known yet left as they are written."""


@dataclass(frozen=True, **_SLOTS)
class _FileEvent(Event):
    path: Path
    """The absolute path."""
    file_name: str
    """The name within ``record_dir``."""
    part: int
    """The part of the recording, from 1."""
    size_bytes: int
    container: str
    """``mp4``, ``ts`` or ``webm``."""
    video_codec: Optional[str]
    audio_codec: Optional[str]
    start_time_ms: int
    """The first sample by the stream's own clock."""
    end_time_ms: int
    """The end by the stream's own clock."""
    start_unix_ms: int
    """The start by the server's clock, in milliseconds since 1970."""
    end_unix_ms: int
    """The end by the server's clock, in milliseconds since 1970."""
    duration_ms: int
    """How long it plays."""
    reason: str
    """Why it ended: ``session_ended``, ``stopped``, ``rotation_duration``, ``disk_full``, ..."""
    tracks: tuple[TrackBalance, ...]
    sha256: Optional[str]
    """SHA-256 in lower-case hex, where the setting ``record_file_sha256`` asks for it."""


@dataclass(frozen=True, **_SLOTS)
class FileFinished(_FileEvent):
    """A file is whole, under its final name, and on stable storage."""


@dataclass(frozen=True, **_SLOTS)
class Recovered(_FileEvent):
    """A file that a crash left is whole now."""


@dataclass(frozen=True, **_SLOTS)
class RecordingFinished(Event):
    """A recording is over: the sum of its parts."""

    parts: int
    """How many files."""
    size_bytes: int
    duration_ms: int
    reason: str


@dataclass(frozen=True, **_SLOTS)
class RecordingFailed(Event):
    """A recording was ended by a failure. What was written before is finished where possible."""

    code: str
    """The ``kind`` of the error."""
    message: str
    path: str
    """The file it is about; empty where there is none."""


@dataclass(frozen=True, **_SLOTS)
class Warning(Event):
    """Something that the host should know; recordings go on."""

    code: str
    """A fixed name."""
    message: str


@dataclass(frozen=True, **_SLOTS)
class FileRemoved(Event):
    """A finished file was removed, as the settings ``record_retention_*`` ask."""

    path: Path
    """The absolute path that it had."""
    file_name: str
    """The name within ``record_dir``."""
    size_bytes: int
    reason: str
    """The limit that it fell under: ``max_age``, ``max_size`` or ``min_free_space``."""


@dataclass(frozen=True, **_SLOTS)
class SessionInfo:
    """A media session as :meth:`Engine.sessions` and :attr:`Session.info` show it."""

    media_session_id: str
    session_id: str
    stream_name: str
    login: str
    protocol: str
    peer: str
    """``host:port`` of the other side."""
    room: str
    """The room it was published with, or empty."""
    started: datetime
    """When it began, by the server's clock (UTC)."""
    tracks: tuple[TrackFacts, ...]
    samples_in: int
    """Samples that arrived."""
    bytes_in: int
    """Payload bytes that arrived."""
    link: Optional[LinkFacts]
    """How its packet connection fares, where it comes by one."""
    facts: Mapping[str, Any]
    """What the publisher told of itself (RTMP ``onMetaData``). Not to be trusted."""


@dataclass(frozen=True, **_SLOTS)
class RecordingInfo:
    """A recording as :meth:`Engine.recordings` and :attr:`Recording.info` show it."""

    recording_id: str
    media_session_id: str
    file_name: str
    """The file that grows now, elements that are not known yet left as they are written."""
    part: int
    """The number of that part, from 1."""
    duration_ms: int
    """How long the recording is by now, in milliseconds of media."""
    size_bytes: int
    """Bytes written by now, all parts."""
    paused: bool


EVENT_CLASSES: Mapping[str, type[Event]] = MappingProxyType(
    {
        "listening": Listening,
        "session_published": SessionPublished,
        "session_ended": SessionEnded,
        "recording_started": RecordingStarted,
        "file_finished": FileFinished,
        "recovered": Recovered,
        "recording_finished": RecordingFinished,
        "recording_failed": RecordingFailed,
        "warning": Warning,
        "file_removed": FileRemoved,
        "session_interrupted": SessionInterrupted,
        "session_resumed": SessionResumed,
    }
)
"""The class of each event name."""


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        # Python before 3.11 does not read the Z.
        return datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
    return datetime.fromtimestamp(value / 1000, timezone.utc)


def _balance(track: dict[str, Any]) -> TrackBalance:
    return _build(TrackBalance, {**track, "gaps": tuple(_build(Gap, gap) for gap in track["gaps"])})


def _track(track: dict[str, Any]) -> Any:
    # The tracks of a file have a balance sheet, those of a session do not.
    return _balance(track) if "samples_in" in track else _build(TrackFacts, track)


def _build(cls: type[_T], data: Mapping[str, Any]) -> _T:
    values = {field.name: data.get(field.name) for field in fields(cls)}  # type: ignore[arg-type]
    for name, convert in _CONVERSIONS.items():
        if name in values:
            values[name] = convert(values[name])
    return cls(**values)


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "time": _moment,
    "started": _moment,
    "tracks": lambda tracks: tuple(_track(track) for track in tracks),
    "link": lambda link: None if link is None else _build(LinkFacts, link),
}


def _with_path(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**data, "path": Path(data["path"])}


def event_from_json(text: str) -> Event:
    """The event that the JSON text of the engine tells."""
    data = json.loads(text)
    cls = EVENT_CLASSES.get(data["event"], Event)
    return _build(cls, _with_path(data) if issubclass(cls, (_FileEvent, FileRemoved)) else data)


def files_from_json(text: str) -> list[FinishedFile]:
    """The files that the JSON text of the engine lists."""
    return [_build(FinishedFile, _with_path(data)) for data in json.loads(text)]


def session_info_from_json(data: Mapping[str, Any]) -> SessionInfo:
    """The listing of one media session."""
    return _build(SessionInfo, data)


def recording_info_from_json(data: Mapping[str, Any]) -> RecordingInfo:
    """The listing of one recording."""
    return _build(RecordingInfo, data)
