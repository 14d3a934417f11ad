"""From an error to an answer: its HTTP status, and its body as each family of clients expects it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CacheMemoryError, HeadwayError, InputError, InputTooLongError, OptionError, TaskError
from .faults import BusyError, TimedOutError, TryLaterError, UnavailableError, WorkerDiedError


class RefusedError(HeadwayError):
    """A request that is answered with an error of a known status.

    Args:
        status: HTTP status.
        message: what was got, what is allowed, what to do.
        param: the field of the request that is at fault.
        code: a word for programs, such as ``"model_not_found"``.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Refusal:
    """An error ready to be written.

    Args:
        status: HTTP status.
        message: for people.
        param: the field at fault, or None.
        code: for programs, or None.
        headers: such as ``Retry-After``.
    """

    status: int
    message: str
    param: str | None
    code: str | None
    headers: Mapping[str, str]


# The first class that fits decides.
_STATUSES: tuple[tuple[type[HeadwayError], int, str], ...] = (
    (BusyError, 429, "overloaded"),
    (TimedOutError, 504, "timeout"),
    (WorkerDiedError, 503, "worker_died"),
    (UnavailableError, 503, "unavailable"),
    (CacheMemoryError, 503, "out_of_memory"),
    (InputTooLongError, 400, "context_length_exceeded"),
    (InputError, 400, "invalid_input"),
    (OptionError, 400, "invalid_option"),
    (TaskError, 400, "wrong_task"),
)


def refusal_of(error: HeadwayError) -> Refusal:
    """How an error is answered."""
    if isinstance(error, RefusedError):
        return Refusal(error.status, str(error), error.param, error.code, error.headers)
    for kind, status, code in _STATUSES:
        if isinstance(error, kind):
            headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TryLaterError) else {}
            return Refusal(status, _PYTHON_HINT.sub(_HTTP_HINT, str(error)), None, code, headers)
    return internal_refusal()


# What a caller in Python is told to do about a text that is too long, and what a client can do.
_PYTHON_HINT = re.compile(r"(Pass|Tokenize with) truncation=True\b.*")
_HTTP_HINT = "Send less, or have it cut where the endpoint takes truncate or truncation."


def internal_refusal() -> Refusal:
    """What an error that nobody foresaw is answered with: nothing of its contents."""
    return Refusal(500, "The server failed on this request; its log says more.", None, "internal_error", {})


Body = Callable[[Refusal], Any]


def openai_body(refusal: Refusal) -> Any:
    """``{"error": {"message", "type", "param", "code"}}``."""
    kind = "invalid_request_error" if refusal.status < 500 and refusal.status != 429 else "server_error"
    kind = "rate_limit_error" if refusal.status == 429 else kind
    return {"error": {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}}


_TEI_TYPES: Mapping[int, str] = {
    400: "Validation",
    401: "Unauthorized",
    404: "Validation",
    413: "Validation",
    422: "Validation",
    429: "Overloaded",
    503: "Unhealthy",
}


def tei_body(refusal: Refusal) -> Any:
    """``{"error", "error_type"}``."""
    return {"error": refusal.message, "error_type": _TEI_TYPES.get(refusal.status, "Backend")}


def cohere_body(refusal: Refusal) -> Any:
    """``{"message"}``."""
    return {"message": refusal.message}


def kserve_body(refusal: Refusal) -> Any:
    """``{"error"}``."""
    return {"error": refusal.message}
