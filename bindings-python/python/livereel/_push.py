"""Gets encoded samples of the host.

Gives them to a media session of their own, through the native module.
"""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Optional, Union

from . import _livereel
from ._errors import CancelledError, InvalidStateError
from ._session import Session

if TYPE_CHECKING:
    from typing_extensions import Self

_Bytes = Union[bytes, bytearray, memoryview]


class Push:
    """A stream that this program hands in, sample by sample. Made by :meth:`Engine.push`.

    As a context manager it ends at the end of the block. Every method may be called from any thread;
    samples of one track come in decode order. Dropped without :meth:`end`, it ends too.
    """

    def __init__(self, native: _livereel.Push) -> None:
        self._native = native

    @property
    def session(self) -> Session:
        """Its media session: facts, recordings, :meth:`Session.terminate`."""
        return Session(self._native.session())

    def track(self, codec: str, config: _Bytes = b"", *, timescale: int = 1000) -> int:
        """Declares a track, before its first sample; returns its number.

        :param codec: ``h264``, ``aac`` and so on; an unknown one is told with those that there are.
        :param config: its headers, such as an AVCDecoderConfigurationRecord or an
            AudioSpecificConfig. Without: Annex B with parameter sets in band, or ADTS.
        :param timescale: ticks a second of its timestamps.
        :raises InvalidArgumentError: there is no such codec.
        :raises MalformedError: the headers are broken.
        """
        return self._native.track(codec, bytes(config), timescale)

    def reconfigure(self, track: int, codec: str, config: _Bytes = b"", *, timescale: int = 1000) -> None:
        """Declares new headers for a track, from its next sample on."""
        self._native.reconfigure(track, codec, bytes(config), timescale)

    def push(self, track: int, data: _Bytes, pts: int, dts: Optional[int] = None, *, key: bool = False) -> bool:
        """Hands in one access unit or frame. Never blocks.

        :param pts: when it is shown, in ticks of the track's timescale.
        :param dts: when it is decoded; as ``pts`` where left out.
        :param key: whether decoding can start here; taken from the payload where that tells.
        :returns: ``False`` where nothing was taken because a recording is behind: push it again
            after :meth:`wait`.
        :raises MalformedError: the payload breaks its format; nothing was taken.
        :raises CancelledError: the engine or a REST client ended the stream.
        :raises InvalidStateError: it was ended.
        """
        return self._native.push(track, data if isinstance(data, bytes) else bytes(data), pts, dts, key)

    def wait(self, timeout: float = 60.0) -> bool:
        """Waits until a sample would be taken again; ``False`` where that takes longer than ``timeout`` seconds."""
        return self._native.wait(timeout)

    async def wait_async(self, timeout: float = 60.0) -> bool:
        """:meth:`wait` on a thread of the event loop's executor."""
        return await asyncio.to_thread(self.wait, timeout)

    def end(self) -> None:
        """Ends the stream; its files come as events.

        :raises InvalidStateError: it was ended before.
        """
        self._native.end()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        try:
            self.end()
        except (InvalidStateError, CancelledError):
            pass  # It ended within the block.

    def __repr__(self) -> str:
        return f"<livereel.Push at {id(self):#x}>"
