"""Why a server cannot answer now, although the request is fine."""

from __future__ import annotations

from ..errors import HeadwayError


class BusyError(HeadwayError, RuntimeError):
    """Too much is waiting already; try again later.

    Args:
        message: what is full.
        retry_after_s: seconds after which there may be room.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WorkerDiedError(HeadwayError, RuntimeError):
    """What ran the request broke down; the server has started it again."""


class UnavailableError(HeadwayError, RuntimeError):
    """The model is not loaded, or the server is stopping."""


class TimedOutError(HeadwayError, TimeoutError):
    """The request took longer than the server allows."""
