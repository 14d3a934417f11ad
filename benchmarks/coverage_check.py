"""One pair of a coverage run: make a tiny checkpoint, export it, load it in the runtime, compare with PyTorch."""

from __future__ import annotations

import signal
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import transformers

from headway.export import export
from headway.export.verify import FP32_TOLERANCE
from headway.runtime import models
from headway.runtime.errors import ExportError

from .coverage_compare import COMPARISONS
from .coverage_pairs import Pair
from .coverage_report import EXCLUDED, FAILED, OK
from .tiny_checkpoints import tiny_checkpoint

_LONGEST_REASON = 1500


@dataclass(frozen=True)
class Outcome:
    """How a pair came out.

    Args:
        status: ``ok``, ``failed``, or ``excluded`` where PyTorch itself cannot make or run the model here.
        reason: one line; of what failed, or why earlier paths were refused.
        path: the export path that gave the graph.
        seconds: CPU time of the whole pair.
        error: largest relative error against PyTorch, through the runtime.
    """

    status: str
    reason: str = ""
    path: str = ""
    seconds: float = 0.0
    error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {key: value for key, value in vars(self).items() if value not in ("", None)}


class OutOfTimeError(BaseException):
    """The CPU time of a pair is used up; no ``except Exception`` on the way takes it for a path that failed."""


def check_pair(pair: Pair) -> Outcome:
    """Run one pair; whatever goes wrong becomes its outcome."""
    start = time.process_time()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    signal.signal(signal.SIGXCPU, _out_of_time)
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = _check_in(Path(folder), pair)
        except OutOfTimeError as error:
            place = _place_of(error)
            outcome = Outcome(FAILED, f"its CPU time ran out after {time.process_time() - start:.0f} s, {place}")
    return replace(outcome, seconds=round(time.process_time() - start, 1))


def _check_in(folder: Path, pair: Pair) -> Outcome:
    try:
        checkpoint = tiny_checkpoint(folder / "checkpoint", pair.model_type, pair.task.auto_class)
        model = getattr(transformers, pair.task.auto_class).from_pretrained(checkpoint).eval()
        comparison = COMPARISONS[pair.task.family](model, pair.task)
    except ExportError as error:
        # PyTorch may well run it, on inputs that Headway does not know.
        return Outcome(FAILED, _one_line(error))
    except Exception as error:
        return Outcome(EXCLUDED, f"PyTorch: {_one_line(error)}")
    try:
        report = export(checkpoint, folder / "artifact", task=pair.head, progress=False)
    except Exception as error:
        return Outcome(FAILED, _one_line(error))
    path, refused = report.manifest.trace["path"], report.manifest.trace["refused"]
    try:
        loaded = getattr(models, pair.task.auto_class).from_pretrained(folder / "artifact", device="cpu", num_threads=1)
        error_found = comparison.largest_error(loaded)
    except Exception as error:
        return Outcome(FAILED, f"runtime: {_one_line(error)}", path)
    if not error_found <= FP32_TOLERANCE:
        return Outcome(FAILED, f"runtime: relative error {error_found:.1e}", path, error=error_found)
    why = "; ".join(f"not by {other}: {reason}" for other, reason in refused.items())
    return Outcome(OK, why, path, error=error_found)


def _out_of_time(number: int, frame: FrameType | None) -> None:
    raise OutOfTimeError


def _place_of(error: BaseException) -> str:
    """The innermost step of our own that was under way."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    names = [f"{Path(frame.filename).stem}.{frame.name}" for frame in frames if "/lib/python" not in frame.filename]
    names = [name for name in names if not name.endswith("._out_of_time")]
    return f"in {names[-1]}" if names else "in a library"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_LONGEST_REASON]
