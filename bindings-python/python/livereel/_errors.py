"""Gets the facts of a failure from the native module.

Gives one exception class for each kind of failure, under one root.
"""

import builtins
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Optional


class Error(Exception):
    """Root of all errors of livereel.

    ``str(error)`` is one sentence: what was tried, what went wrong, and with which values.
    """

    kind: str = "internal"
    """The fixed name of the kind, the same in every language (``"not_found"``)."""
    operation: str
    """What was tried: a verb and its object."""
    context: Mapping[str, str]
    """The named values, in the order of the sentence. A name that comes twice has its last value."""
    may_retry: bool
    """Whether the same call may succeed later without anything being changed."""

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        context: Iterable[tuple[str, str]] = (),
        may_retry: bool = False,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.context = dict(context)
        self.may_retry = may_retry


class InvalidArgumentError(Error, ValueError):
    """An argument of a call is wrong."""

    kind = "invalid_argument"


class ConfigError(Error, ValueError):
    """One or several settings are wrong; the message lists all of them."""

    kind = "invalid_config"


class NotFoundError(Error, LookupError):
    """What the call names is not there."""

    kind = "not_found"


class AlreadyExistsError(Error):
    """What the call would make is there already."""

    kind = "already_exists"


class InvalidStateError(Error, RuntimeError):
    """The call does not fit the state of the object, such as the start of a started engine."""

    kind = "invalid_state"


class UnsupportedError(Error, NotImplementedError):
    """The call or format is known but not served."""

    kind = "unsupported"


class LimitExceededError(Error):
    """A limit on input or memory was met; the message has both numbers."""

    kind = "limit_exceeded"


class MalformedError(Error, ValueError):
    """Bytes that break their own format."""

    kind = "malformed"


class IoError(Error, OSError):
    """The operating system refused an input or output; ``errno`` is its number where known."""

    kind = "io"


class DiskFullError(Error, OSError):
    """No space is left on the disk."""

    kind = "disk_full"


class TimeoutError(Error, builtins.TimeoutError):
    """A time limit ran out."""

    kind = "timeout"


class CancelledError(Error):
    """The other side, or a stop, ended it first. Not ``asyncio.CancelledError``."""

    kind = "cancelled"


class AccessDeniedError(Error, PermissionError):
    """Not allowed: by permissions, a token or an authorize callback."""

    kind = "access_denied"


class BusyError(Error):
    """Cannot take more now; try again after a while."""

    kind = "busy"


class ForkedError(Error, RuntimeError):
    """The object was made in another process, before a fork. Use multiprocessing's ``spawn``."""

    kind = "forked"


class InternalError(Error, RuntimeError):
    """A fault of livereel itself; please report it."""

    kind = "internal"


ERROR_CLASSES: Mapping[str, type[Error]] = MappingProxyType(
    {
        cls.kind: cls
        for cls in (
            InvalidArgumentError,
            ConfigError,
            NotFoundError,
            AlreadyExistsError,
            InvalidStateError,
            UnsupportedError,
            LimitExceededError,
            MalformedError,
            IoError,
            DiskFullError,
            TimeoutError,
            CancelledError,
            AccessDeniedError,
            BusyError,
            ForkedError,
            InternalError,
        )
    }
)
"""The class of each kind."""


def from_native(
    kind: str,
    message: str,
    operation: str,
    context: list[tuple[str, str]],
    may_retry: bool,
    errno: Optional[int],
) -> Error:
    """The exception for a failure that the native module met."""
    cls = ERROR_CLASSES.get(kind, Error)
    error = cls(message, operation=operation, context=context, may_retry=may_retry)
    if isinstance(error, OSError):
        error.errno = errno
    return error
