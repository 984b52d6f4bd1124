"""Gets commands of the host for one media session or one recording.

Gives them to the native module, and what is known of either as dataclasses.
"""

import asyncio
import json
from types import TracebackType
from typing import TYPE_CHECKING, Optional

from . import _livereel
from ._errors import InvalidStateError
from ._events import RecordingInfo, SessionInfo, recording_info_from_json, session_info_from_json

if TYPE_CHECKING:
    from typing_extensions import Self

# How long the end of a `with recording:` block waits for its files, in seconds.
_RECORDING_EXIT_TIMEOUT = 15.0


class Recording:
    """One run of recording of a media session. Made by :meth:`Session.record`.

    As a context manager it stops at the end of the block and waits for its files, at most 15 s.
    Every method may be called from any thread.
    """

    def __init__(self, native: _livereel.Recording) -> None:
        self._native = native

    @property
    def id(self) -> str:
        """Its UUID, the ``recording_id`` of its events."""
        return self._native.id()

    @property
    def info(self) -> RecordingInfo:
        """What is known of it now."""
        return recording_info_from_json(json.loads(self._native.info()))

    def rotate(self) -> None:
        """Begins a new part at the next key frame.

        :raises InvalidStateError: it has ended, or its session is in a room.
        """
        self._native.rotate()

    def pause(self, keep_gap: bool = False) -> None:
        """Leaves out what comes from now on; ``keep_gap`` keeps the time of the pause in the file.

        :raises InvalidStateError: it has ended.
        """
        self._native.pause(keep_gap)

    def resume(self) -> None:
        """Goes on from the next key frame. Nothing happens where it is not paused.

        :raises InvalidStateError: it has ended.
        """
        self._native.resume()

    def stop(self, timeout: Optional[float] = None) -> None:
        """Ends it; its files come as events.

        With a ``timeout`` in seconds it returns when they are finished, without one at once.

        :raises InvalidStateError: it has ended.
        :raises TimeoutError: the files are not finished in time; they go on being finished.
        """
        self._native.stop(timeout)

    async def stop_async(self, timeout: Optional[float] = None) -> None:
        """:meth:`stop` on a thread of the event loop's executor."""
        await asyncio.to_thread(self.stop, timeout)

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        try:
            self.stop(_RECORDING_EXIT_TIMEOUT)
        except InvalidStateError:
            pass  # It ended within the block, with its session or by a stop.

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def __repr__(self) -> str:
        return f"<livereel.Recording at {id(self):#x}>"


class Session:
    """A media session: one published stream, from its start to its end. See :meth:`Engine.session`.

    Every method may be called from any thread.
    """

    def __init__(self, native: _livereel.Session) -> None:
        self._native = native

    @property
    def id(self) -> str:
        """Its UUID, the ``media_session_id`` of its events."""
        return self._native.id()

    @property
    def info(self) -> SessionInfo:
        """What is known of it now."""
        return session_info_from_json(json.loads(self._native.info()))

    def record(self, *, template: Optional[str] = None, rotation: Optional[str] = None) -> Recording:
        """Starts one more recording of it; what is left out comes from the settings.

        :param template: a file name as the setting ``stream_record_policy_template`` takes it.
        :param rotation: as the setting ``record_rotation`` takes it: ``"10s"``, ``"5m"``, ``"1G"``.
        :raises InvalidArgumentError: names the argument.
        :raises InvalidStateError: the session has ended.
        """
        return Recording(self._native.record(template, rotation))

    def request_key_frame(self) -> None:
        """Asks the source for a key frame; sources that cannot be asked (RTMP, RTSP) ignore it."""
        self._native.request_key_frame()

    def terminate(self) -> None:
        """Disconnects the publisher; the session's files are finished.

        :raises InvalidStateError: it has ended.
        """
        self._native.terminate()

    def __repr__(self) -> str:
        return f"<livereel.Session at {id(self):#x}>"
