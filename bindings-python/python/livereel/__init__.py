"""livereel records live media streams inside the process of a Python host.

    import livereel

    with livereel.Engine(record_dir="records", rtmp_listen="127.0.0.1:1935") as engine:
        for event in engine.events():
            if isinstance(event, livereel.FileFinished):
                print(event.path, event.duration_ms)

:class:`Engine` is where to begin. Names in milliseconds end in ``_ms``, in bytes in ``_bytes``;
timeouts are seconds. All errors are under :class:`Error`.
"""

from ._engine import Engine
from ._errors import (
    ERROR_CLASSES,
    AccessDeniedError,
    AlreadyExistsError,
    BusyError,
    CancelledError,
    ConfigError,
    DiskFullError,
    Error,
    ForkedError,
    InternalError,
    InvalidArgumentError,
    InvalidStateError,
    IoError,
    LimitExceededError,
    MalformedError,
    NotFoundError,
    TimeoutError,
    UnsupportedError,
)
from ._events import (
    EVENT_CLASSES,
    Event,
    FileFinished,
    FileRemoved,
    FinishedFile,
    Gap,
    LinkFacts,
    Listening,
    RecordingFailed,
    RecordingFinished,
    RecordingInfo,
    RecordingStarted,
    Recovered,
    SessionEnded,
    SessionInfo,
    SessionInterrupted,
    SessionPublished,
    SessionResumed,
    TrackBalance,
    TrackFacts,
    Warning,
)
from ._livereel import EVENT_NAMES, SETTING_KEYS, __version__
from ._push import Push
from ._queue import Events
from ._session import Recording, Session

__all__ = [
    "ERROR_CLASSES",
    "EVENT_CLASSES",
    "EVENT_NAMES",
    "SETTING_KEYS",
    "AccessDeniedError",
    "AlreadyExistsError",
    "BusyError",
    "CancelledError",
    "ConfigError",
    "DiskFullError",
    "Engine",
    "Error",
    "Event",
    "Events",
    "FileFinished",
    "FileRemoved",
    "FinishedFile",
    "ForkedError",
    "Gap",
    "InternalError",
    "InvalidArgumentError",
    "InvalidStateError",
    "IoError",
    "LimitExceededError",
    "LinkFacts",
    "Listening",
    "MalformedError",
    "NotFoundError",
    "Push",
    "Recording",
    "RecordingFailed",
    "RecordingFinished",
    "RecordingInfo",
    "RecordingStarted",
    "Recovered",
    "Session",
    "SessionEnded",
    "SessionInfo",
    "SessionInterrupted",
    "SessionPublished",
    "SessionResumed",
    "TimeoutError",
    "TrackBalance",
    "TrackFacts",
    "UnsupportedError",
    "Warning",
    "__version__",
]
