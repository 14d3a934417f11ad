"""From requests to rows: each request by itself, or short ones that ask for the same in one call of the tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import HeadwayError, OptionError
from ...pipelines.encode import CutLog
from ...pipelines.windows import Window
from .rounds import WRITING_TASKS, Share, split_prepared

if TYPE_CHECKING:
    from .batcher import Job

Result = TypeVar("Result")

# Heads of one row for each text, whose calls take no options of the tokenizer's: padding would depend on the others.
_PLAIN_TASKS = frozenset({"embed", "text-classification"})
# A longer text is likely to be over the limit, and then all that were tokenized with it are tokenized again.
_MAX_CHARACTERS = 4096


def share_of(job: Job) -> Share:
    """A request's inputs, tokenized.

    Raises:
        HeadwayError: an input or option cannot be used.
    """
    given = job.options
    if job.pipeline.task in WRITING_TASKS:
        # Whoever leaves frees the thread within a step.
        given = {**given, "stopping_criteria": [lambda ids, scores: job.is_cancelled]}
    return _prepared(job.pipeline, list(job.items), given)


def is_plain(job: Job) -> bool:
    """Whether a request is one text, and not a long one, for a head that makes one row of it."""
    return (
        job.pipeline is not None
        and job.pipeline.task in _PLAIN_TASKS
        and len(job.items) == 1
        and isinstance(job.items[0], str)
        and len(job.items[0]) <= _MAX_CHARACTERS
    )


def asks_the_same(job: Job, other: Job) -> bool:
    """Whether two plain requests differ in their texts alone."""
    return job.pipeline is other.pipeline and job.options == other.options


def shares_of(jobs: Sequence[Job]) -> list[Share] | None:
    """Shares of plain requests that ask for the same, tokenized in one call.

    Returns:
        One share for each; None where that fails, and each has to say by itself what is wrong.
    """
    first = jobs[0]
    try:
        together = _prepared(first.pipeline, [job.items[0] for job in jobs], first.options)
    except Exception:
        # Whatever it is: nobody's request is lost, and only who caused it hears of it.
        return None
    parts = split_prepared(together.prepared)
    if parts is None or len(parts) != len(jobs):
        return None
    return [Share(first.pipeline, part, together.options, 1) for part in parts]


def blaming_options(function: Callable[[], Result]) -> Result:
    """What the function gives; its errors are those of options of a client's making that a head does not check."""
    try:
        return function()
    except HeadwayError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise OptionError(f"The inputs or options cannot be used together ({type(error).__name__}).") from error


def _prepared(pipeline: Any, items: list[Any], given: Any) -> Share:
    options = pipeline.merged(given)
    window = Window(items, is_single=len(items) == 1)
    return Share(pipeline, blaming_options(lambda: pipeline.prepare(window, options, CutLog())), options, len(items))
