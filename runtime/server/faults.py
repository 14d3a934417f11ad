"""Why a server cannot answer now, although the request is fine."""

from __future__ import annotations

from ..errors import HeadwayError


class TryLaterError(HeadwayError, RuntimeError):
    """The same request may be answered later.

    Args:
        message: what is in the way.
        retry_after_s: seconds after which it may be gone.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BusyError(TryLaterError):
    """Too much is waiting already."""


class WorkerDiedError(TryLaterError):
    """What ran the request broke down, and is started again."""


class UnavailableError(TryLaterError):
    """The model is not loaded, or the server is stopping."""


class TimedOutError(HeadwayError, TimeoutError):
    """The request took longer than the server allows."""
