"""Gets events from a native queue.

Gives them to ``for`` and ``async for``.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Optional

from . import _livereel
from ._errors import InvalidStateError, TimeoutError
from ._events import Event, event_from_json

# How long a wait goes on before Python may run a signal handler (Ctrl-C), in seconds.
_SIGNAL_INTERVAL = 0.1


class Events(Iterator[Event], AsyncIterator[Event]):
    """Every event since :meth:`Engine.events` was called, in order, none dropped.

    It ends after the last event of a stopped engine, or by :meth:`close`. Iterate over it with
    ``for`` from any thread, or with ``async for`` in one event loop, not with both. Events that
    nobody reads are kept, so read it, close it or drop it.

    With a ``timeout`` in seconds, a step that waits longer raises :class:`TimeoutError`; the next
    step goes on waiting. Without one it waits as long as it takes.
    """

    def __init__(self, queue: _livereel.EventQueue, timeout: Optional[float] = None) -> None:
        self._queue = queue
        self._timeout = timeout
        self._loop_queue: Optional[asyncio.Queue[Optional[str]]] = None

    def __iter__(self) -> "Events":
        return self

    def __next__(self) -> Event:
        if self._loop_queue is not None:
            raise InvalidStateError("cannot iterate with for: it is iterated with async for", operation="iterate")
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if threading.current_thread() is threading.main_thread():
                wait = _SIGNAL_INTERVAL if wait is None else min(wait, _SIGNAL_INTERVAL)
            text = self._queue.next(wait)
            if text is not None:
                return event_from_json(text)
            if self._queue.is_ended():
                raise StopIteration
            if deadline is not None and time.monotonic() >= deadline:
                raise self._timed_out()

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> Event:
        if self._loop_queue is None:
            self._loop_queue = asyncio.Queue()
            pump = threading.Thread(
                target=_pump,
                args=(self._queue, asyncio.get_running_loop(), self._loop_queue),
                name="livereel-events",
                daemon=True,
            )
            pump.start()
        try:
            text = await asyncio.wait_for(self._loop_queue.get(), self._timeout)
        except asyncio.TimeoutError:
            raise self._timed_out() from None
        if text is None:
            self._loop_queue.put_nowait(None)  # The next step ends too.
            raise StopAsyncIteration
        return event_from_json(text)

    def close(self) -> None:
        """Ends it: a step that waits ends the iteration, later events are not kept."""
        self._queue.close()

    def __del__(self) -> None:
        # The pump's thread has the native queue only, so it ends here too.
        queue = getattr(self, "_queue", None)
        if queue is not None:
            queue.close()

    def _timed_out(self) -> TimeoutError:
        return TimeoutError(
            f"cannot wait for an event: none came in time (timeout_seconds: {self._timeout})",
            operation="wait for an event",
            context=[("timeout_seconds", str(self._timeout))],
            may_retry=True,
        )


def _pump(
    source: _livereel.EventQueue,
    loop: asyncio.AbstractEventLoop,
    target: "asyncio.Queue[Optional[str]]",
) -> None:
    """Moves events to an event loop on a thread of its own, so that the loop never blocks."""
    while True:
        text = source.next()
        try:
            loop.call_soon_threadsafe(target.put_nowait, text)
        except RuntimeError:  # The loop is closed: nobody reads any more.
            source.close()
            return
        if text is None:
            return
