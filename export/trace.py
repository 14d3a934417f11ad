"""A head to ONNX graphs, one path after another, until the caller is content with one."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx_ir
import torch
from transformers import PreTrainedModel

from headway.runtime.errors import HeadwayError

from .patches import model_patches
from .size_limits import recorded_programs, size_limit
from .trace_paths import PATHS, Path, TraceJob

NO_INTERFACE = "its attention does not go through the interface"


@dataclass(frozen=True)
class Attempt:
    """What one path gave.

    Args:
        path: its name.
        longest: tokens of the longest text that the graph takes; None for whatever the model takes.
        fusions: what each did.
    """

    path: str
    graph: onnx_ir.Model
    longest: int | None
    fusions: tuple[str, ...] = ()


class NotApplicableError(Exception):
    """A tracing path does not fit the model; the message says why."""


def traces(job: TraceJob, refused: dict[str, str], paths: Sequence[Path] = PATHS) -> Iterator[Attempt]:
    """Yield what every path that gives a graph gave, one at a time, best first; graphs for shorter texts come last.

    Args:
        refused: path → why it gave none; filled on the way. The caller adds why a graph it got was no good.
        paths: those to try.
    """
    limited: list[tuple[int, Attempt]] = []
    for path in paths:
        if path.name in refused:
            continue
        name = path.name
        try:
            with quiet(), torch.no_grad(), _without_cache(job.model), model_patches(), recorded_programs() as programs:
                traced = path.trace(job)
        except Exception as error:
            # Tracing runs the model's own code: whatever it raises, the next path gets its turn.
            refused[name] = reason(error)
            continue
        if name != path.without_interface and not traced.through_interface:
            refused[name] = NO_INTERFACE
            name = path.without_interface
        limit = size_limit(programs, job)
        if limit is None:
            yield Attempt(name, traced.graph, None, traced.fusions)
            continue
        refused[name] = str(limit)
        if limit.is_length:
            limited.append((limit.largest, Attempt(name, traced.graph, limit.largest, traced.fusions)))
    yield from (attempt for _, attempt in sorted(limited, key=lambda found: -found[0]))


@contextlib.contextmanager
def _without_cache(model: PreTrainedModel) -> Iterator[None]:
    """Keep decoders from building a cache that nothing reads."""
    configs = {id(config): config for config in (model.config, model.config.get_text_config())}.values()
    before = [(config, config.use_cache) for config in configs if hasattr(config, "use_cache")]
    for config, _ in before:
        config.use_cache = False
    try:
        yield
    finally:
        for config, value in before:
            config.use_cache = value


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's and onnxscript's chatter off the terminal; errors still raise."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "onnxscript", "onnx_ir", "transformers")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


def reason(error: BaseException) -> str:
    """One line of why a path did not work: the error that started it, without what was wrapped around it."""
    while (cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = cause
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    # torch lists the constraints that a trace broke below a line that names only where.
    line = next((line[2:] for line in lines if line.startswith("- ")), lines[0] if lines else "")[:300]
    return line if isinstance(error, (NotApplicableError, HeadwayError)) else f"{type(error).__name__}: {line}"


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
