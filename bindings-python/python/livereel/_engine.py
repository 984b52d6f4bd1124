"""Gets settings, commands and callbacks of the host.

Gives the engine as a Python object over the native module.
"""

import asyncio
import atexit
import functools
import inspect
import json
import logging
import os
import threading
import warnings
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Literal, Optional, TypeVar, Union

from . import _livereel
from ._errors import Error
from ._events import (
    Event,
    FileFinished,
    FileRemoved,
    FinishedFile,
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
    Warning,
    event_from_json,
    files_from_json,
    recording_info_from_json,
    session_info_from_json,
)
from ._push import Push
from ._queue import Events
from ._session import Recording, Session
from ._settings import setting_text

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._settings import Settings

_log = logging.getLogger("livereel")
_R = TypeVar("_R")
_AnyCallback = Callable[[Any], object]


class Engine:
    """The recorder: listeners, threads, settings and event delivery.

    Settings are keyword arguments under the names of the settings list; bool, int, float, str and
    paths are taken, ``None`` means not given. They go over those of ``environment`` (give it
    ``os.environ`` to have ``LIVEREEL_<KEY>`` read), and these over those of ``config_file``, a
    ``.toml`` or ``.properties`` file. Nothing is opened before :meth:`start`.

    Use it with ``with`` or ``async with``, or call :meth:`start` and :meth:`stop`. An engine that is
    collected or alive when the interpreter exits stops and finishes its files as well.

    Every method may be called from any thread, callbacks included; those that wait let other
    Python threads run. In a child of ``fork`` every method raises :class:`ForkedError`, but
    :meth:`stop`, which does nothing there: start workers with multiprocessing's ``spawn``.

    Callbacks run one after another on one thread of the engine, in the order of the events. What a
    callback raises is logged under ``livereel`` and breaks nothing; a slow one delays later events
    and never a recording. A coroutine function may be a callback where the engine is entered with
    ``async with``: it runs as a task on that event loop, and the end of the block waits for it.

    :raises ConfigError: lists every setting that is wrong.
    """

    def __init__(
        self,
        *,
        config_file: Optional[Union[str, "os.PathLike[str]"]] = None,
        environment: Optional[Mapping[str, str]] = None,
        **settings: "Unpack[Settings]",
    ) -> None:
        self._lock = threading.Lock()
        self._callbacks: tuple[tuple[Optional[str], _AnyCallback], ...] = ()
        self._subscribed = False
        self._running = False
        self._process = os.getpid()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._tasks: set[asyncio.Task[Any]] = set()
        texts = [(key, setting_text(key, value)) for key, value in settings.items() if value is not None]
        self._native = _livereel.Engine(texts, config_file, list((environment or {}).items()))

    # Life cycle

    def start(self) -> None:
        """Opens the folders, finishes what a crash left, and opens the listeners.

        :raises InvalidStateError: it was started before.
        :raises Error: what the folders and sockets answer. Nothing is open then, and it may be
            started again.
        """
        with self._lock:
            if self._loop is None:
                for _, callback in self._callbacks:
                    _refuse_coroutine_function(callback)
        self._native.start()
        self._running = True
        _running.add(self)

    def stop(self, timeout: Optional[float] = None) -> None:
        """Ends every session, finishes every file, and returns when the last events are delivered.

        Stopping again is fine. Called from a callback, it begins the stop and returns at once.

        :param timeout: seconds; ``None`` waits as long as the setting ``record_stop_timeout``.
        :raises TimeoutError: files are not finished by then; they go on being finished.
        """
        self._running = False
        self._native.stop(timeout)

    async def start_async(self) -> None:
        """:meth:`start` on a thread of the event loop's executor.

        Coroutine functions that are callbacks run on this event loop.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.start)

    async def stop_async(self, timeout: Optional[float] = None) -> None:
        """:meth:`stop` on a thread of the event loop's executor."""
        await asyncio.to_thread(self.stop, timeout)

    def __enter__(self) -> "Self":
        self.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    async def __aenter__(self) -> "Self":
        await self.start_async()
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        # The last callbacks asked the loop for their tasks before the stop returned to it.
        await self.stop_async()
        tasks = self._tasks - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks)

    def __del__(self) -> None:
        if getattr(self, "_running", False) and self._process == os.getpid():
            # Without `source`, which would keep this alive: the native engine's end, right after
            # this, is what finishes the files.
            warnings.warn(f"an engine was collected without stop: {self!r}", ResourceWarning, stacklevel=2)

    # Questions

    def address(self, protocol: str) -> Optional[str]:
        """``"host:port"`` of the listener of ``"rtmp"``, ``"http"``, ``"https"`` or ``"webrtc"``.

        ``None`` where it does not listen. Port 0 in a listen setting picks a free port, told here.
        """
        return self._native.address(protocol)

    def sessions(self) -> list[SessionInfo]:
        """The media sessions that are running."""
        return [session_info_from_json(data) for data in json.loads(self._native.sessions())]

    def session(self, media_session_id: str) -> Session:
        """The running media session of this id.

        :raises NotFoundError: there is none.
        """
        return Session(self._native.session(media_session_id))

    def recordings(self) -> list[RecordingInfo]:
        """The recordings that are running."""
        return [recording_info_from_json(data) for data in json.loads(self._native.recordings())]

    def recording(self, recording_id: str) -> Recording:
        """The running recording of this id.

        :raises NotFoundError: there is none.
        """
        return Recording(self._native.recording(recording_id))

    def push(
        self, stream_name: str, *, record: Optional[bool] = None, login: str = "", room: str = ""
    ) -> Push:
        """Begins a stream whose encoded samples this program hands in.

        :param record: whether it is recorded from its start; ``None`` as ``record_pushed_streams`` says.
        :param login: ``{login}`` of file names.
        :param room: recordings of a session in a room never rotate.
        :raises InvalidArgumentError: the name is taken or too long.
        :raises InvalidStateError: the engine does not run.
        """
        return Push(self._native.push(stream_name, record, login, room))

    def pull(
        self,
        url: str,
        *,
        stream_name: str = "",
        record: Optional[bool] = None,
        login: str = "",
        room: str = "",
        transport: Optional[Literal["tcp", "udp"]] = None,
        template: Optional[str] = None,
        rotation: Optional[str] = None,
    ) -> Session:
        """Pulls a stream from another server: ``rtsp://`` or ``rtmp://``, credentials in the URL.

        Returns at once. A source that is away or goes away is tried again until
        :meth:`Session.terminate`; one recording covers it all. A source that cannot be reached is
        told by a ``warning`` event (``pull_failed``).

        :param stream_name: its name here; empty for the last part of the URL.
        :param record: whether it is recorded from its start; ``None`` as the settings say.
        :param login: ``{login}`` of file names.
        :param room: recordings of a session in a room never rotate.
        :param transport: how RTSP media travels; ``None`` as ``rtsp_transport`` says.
        :param template: file-name template of its first recording.
        :param rotation: rotation of its first recording.
        :raises InvalidArgumentError: the URL, the name or an option is wrong.
        :raises InvalidStateError: the engine does not run.
        """
        return Session(
            self._native.pull(url, stream_name, record, login, room, transport, template, rotation)
        )

    def recover(self) -> list[FinishedFile]:
        """Finishes files that a crash left growing, as :meth:`start` does by itself.

        Each gives a ``recovered`` event too. Works on an engine that is not started. It waits for
        the work: in asyncio, ``await asyncio.to_thread(engine.recover)``.

        :raises Error: what the folders answer; one unreadable file is a ``warning`` event.
        """
        return files_from_json(self._native.recover())

    # Events

    def events(self, *, timeout: Optional[float] = None) -> Events:
        """Every event from now on, for ``for`` and ``async for``; ends when the engine is stopped.

        :param timeout: seconds that one step may wait before it raises :class:`TimeoutError`.
        """
        return Events(self._native.events(), timeout)

    def on_event(self, callback: Callable[[Event], _R]) -> Callable[[Event], _R]:
        """Calls it for every event from now on. A decorator."""
        return self._add(None, callback)

    def on_listening(self, callback: Callable[[Listening], _R]) -> Callable[[Listening], _R]:
        """Calls it when a listener is open. A decorator."""
        return self._add("listening", callback)

    def on_session_published(self, callback: Callable[[SessionPublished], _R]) -> Callable[[SessionPublished], _R]:
        """Calls it when a media session began. A decorator."""
        return self._add("session_published", callback)

    def on_session_ended(self, callback: Callable[[SessionEnded], _R]) -> Callable[[SessionEnded], _R]:
        """Calls it when a media session ended. A decorator."""
        return self._add("session_ended", callback)

    def on_recording_started(self, callback: Callable[[RecordingStarted], _R]) -> Callable[[RecordingStarted], _R]:
        """Calls it when a recording began. A decorator."""
        return self._add("recording_started", callback)

    def on_file_finished(self, callback: Callable[[FileFinished], _R]) -> Callable[[FileFinished], _R]:
        """Calls it when a file is whole, under its final name. A decorator."""
        return self._add("file_finished", callback)

    def on_recovered(self, callback: Callable[[Recovered], _R]) -> Callable[[Recovered], _R]:
        """Calls it when a file that a crash left is whole. A decorator."""
        return self._add("recovered", callback)

    def on_recording_finished(self, callback: Callable[[RecordingFinished], _R]) -> Callable[[RecordingFinished], _R]:
        """Calls it when a recording is over, all its parts finished. A decorator."""
        return self._add("recording_finished", callback)

    def on_recording_failed(self, callback: Callable[[RecordingFailed], _R]) -> Callable[[RecordingFailed], _R]:
        """Calls it when a recording was ended by a failure. A decorator."""
        return self._add("recording_failed", callback)

    def on_warning(self, callback: Callable[[Warning], _R]) -> Callable[[Warning], _R]:
        """Calls it for a warning. A decorator."""
        return self._add("warning", callback)

    def on_file_removed(self, callback: Callable[[FileRemoved], _R]) -> Callable[[FileRemoved], _R]:
        """Calls it when a finished file was removed, as ``record_retention_*`` ask. A decorator."""
        return self._add("file_removed", callback)

    def on_session_interrupted(self, callback: Callable[[SessionInterrupted], _R]) -> Callable[[SessionInterrupted], _R]:
        """Calls it when a source went away and is waited for. A decorator."""
        return self._add("session_interrupted", callback)

    def on_session_resumed(self, callback: Callable[[SessionResumed], _R]) -> Callable[[SessionResumed], _R]:
        """Calls it when a source that went away is back. A decorator."""
        return self._add("session_resumed", callback)

    def remove_callback(self, callback: Callable[..., object]) -> None:
        """Calls it no more. It may still be running when this returns.

        :raises ValueError: it is no callback of this engine.
        """
        with self._lock:
            left = tuple(entry for entry in self._callbacks if entry[1] != callback)
            if len(left) == len(self._callbacks):
                raise ValueError(f"not a callback of this engine: {callback!r}")
            self._callbacks = left

    def _add(self, name: Optional[str], callback: Callable[[Any], _R]) -> Callable[[Any], _R]:
        if not callable(callback):
            raise TypeError(f"a callback must be callable: {callback!r}")
        with self._lock:
            if self._running and self._loop is None:
                _refuse_coroutine_function(callback)
            self._callbacks = (*self._callbacks, (name, callback))
            subscribe, self._subscribed = not self._subscribed, True
        if subscribe:
            # The native side must not keep this object alive: a callback often refers to it.
            self._native.on_event(functools.partial(_deliver, weakref.ref(self)))
        return callback

    def _dispatch(self, name: str, text: str) -> None:
        wanted = [callback for wanted, callback in self._callbacks if wanted in (None, name)]
        if not wanted:
            return
        event = event_from_json(text)
        for callback in wanted:
            try:
                if _is_coroutine_function(callback) and self._loop is not None:
                    self._loop.call_soon_threadsafe(self._spawn, callback, event)
                else:
                    callback(event)
            except BaseException:  # SystemExit too: the thread is the engine's, not the host's.
                _log.exception("callback %r failed for event %s, seq %d", callback, name, event.seq)

    def _spawn(self, callback: Callable[[Any], Any], event: Event) -> None:
        task = asyncio.ensure_future(_run(callback, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def __repr__(self) -> str:
        return f"<livereel.Engine at {id(self):#x}>"


def _is_coroutine_function(callback: _AnyCallback) -> bool:
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None))


def _refuse_coroutine_function(callback: _AnyCallback) -> None:
    if _is_coroutine_function(callback):
        raise TypeError(f"a coroutine function as a callback needs an engine entered with async with: {callback!r}")


def _deliver(owner: "weakref.ref[Engine]", name: str, text: str) -> None:
    engine = owner()
    if engine is not None:
        engine._dispatch(name, text)


async def _run(callback: Callable[[Any], Any], event: Event) -> None:
    try:
        await callback(event)
    except asyncio.CancelledError:
        raise
    except Exception:
        _log.exception("callback %r failed for event %s, seq %d", callback, event.event, event.seq)


_running: "weakref.WeakSet[Engine]" = weakref.WeakSet()


@atexit.register
def _finish_all() -> None:
    """Finishes the files of engines that run when the interpreter exits, while callbacks still can."""
    for engine in list(_running):
        try:
            engine.stop()
        except Error:
            _log.exception("an engine did not stop before the interpreter's exit")
    _livereel.leave()
