"""``tune``: measure an artifact on this machine, and keep the fastest way to run it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..artifact import Artifact, canonical_dtype
from ..errors import ArtifactNotFoundError, OptionError, TaskError
from ..models import MODEL_CLASSES
from ..threads import usable_cpu_count
from .accuracy import LIMIT_NAMES, Limits
from .benches import Workload, make_workload, takes_text
from .choices import Scope
from .fingerprint import this_machine
from .search import OnStage, OnTrial, Search, Trial
from .setup import Setup, ShapeFigures, TuningRecord
from .shapes import (
    DEFAULT_DECODER_SHAPES,
    DEFAULT_OTHER_SHAPES,
    DEFAULT_TEXT_SHAPES,
    Shape,
    parse_shape,
    require_lengths,
)
from .store import keep_record
from .timing import DEFAULT_EFFORT, Effort


@dataclass(frozen=True)
class TuneOptions:
    """What is measured, and what answers must reach.

    Args:
        shapes: such as ``"8x128"``; empty takes usual ones.
        text: lines of text the inputs are made of; None takes a built-in passage.
        dtypes: precisions to try; empty tries all of the folder.
        task: what the artifact is for; None takes what it says.
        num_new_tokens: tokens that a language model writes in a call.
        limits: ``min_cosine``, ``min_top_1`` and ``max_perplexity_increase`` in place of those the precisions were
            held to.
        effort: of each comparison.
        keep: write the record.
    """

    shapes: Sequence[str] = ()
    text: str | None = None
    dtypes: Sequence[str] = ()
    task: str | None = None
    num_new_tokens: int = 64
    limits: Mapping[str, float] = field(default_factory=dict)
    effort: Effort = DEFAULT_EFFORT
    keep: bool = True


@dataclass(frozen=True)
class TuneReport:
    """What tuning found.

    Args:
        folder: the artifact.
        record: the fastest setup with its figures.
        untuned: how the artifact loads by itself.
        refused: precision → why it was not tried.
        trials: everything that was tried, in order.
        kept_in: the file the record was written to; None where it was not.
    """

    folder: Path
    record: TuningRecord
    untuned: Setup
    refused: Mapping[str, str]
    trials: tuple[Trial, ...]
    kept_in: Path | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "folder": str(self.folder),
            **self.record.to_dict(),
            "untuned_dtype": self.untuned.dtype,
            "refused": dict(self.refused),
            "tried": [{**vars(trial)} for trial in self.trials],
            "kept_in": None if self.kept_in is None else str(self.kept_in),
        }


def tune(
    folder: str | Path,
    options: TuneOptions | None = None,
    on_stage: OnStage = lambda stage, num_changes: None,
    on_trial: OnTrial = lambda trial: None,
) -> TuneReport:
    """Find the fastest way to run an artifact on this machine, within the limits on its answers.

    Args:
        folder: a local artifact folder.
        options: what is measured.
        on_stage: told each stage of the search with the number of its changes.
        on_trial: told each change that was tried.

    Raises:
        ArtifactNotFoundError, CorruptArtifactError: the folder cannot be used.
        OptionError, TaskError: an option is out of range, or no precision is within the limits.
        OSError: the record cannot be written.
    """
    options = options or TuneOptions()
    artifact = Artifact(folder)
    workload = _workload(artifact, options)
    limits = _limits(options.limits)
    dtypes, refused = _precisions(artifact, options.dtypes, limits)
    untuned = Setup(artifact.chosen_dtype() if artifact.chosen_dtype() in dtypes else dtypes[0])
    scope = Scope(workload, dtypes, usable_cpu_count())
    search = Search(scope, untuned, limits, options.effort, on_stage, on_trial)
    record = _record(search, search.run())
    kept_in = keep_record(artifact, this_machine(), record) if options.keep else None
    return TuneReport(artifact.folder, record, untuned, refused, tuple(search.trials), kept_in)


def _workload(artifact: Artifact, options: TuneOptions) -> Workload:
    task = options.task or artifact.likely_task
    if task not in MODEL_CLASSES:
        raise TaskError(
            f"{artifact.folder} is for {task or 'no task it names'}; pass --task, {', '.join(MODEL_CLASSES)}."
        )
    if not 1 <= options.num_new_tokens <= 1 << 20:
        raise OptionError(f"--new-tokens is {options.num_new_tokens}; it must be at least 1.")
    shapes: Sequence[Shape] = tuple(dict.fromkeys(parse_shape(text) for text in options.shapes))
    if takes_text(artifact, task):
        is_decoder = task in ("text-generation", "text2text-generation")
        shapes = shapes or _fitting(DEFAULT_DECODER_SHAPES if is_decoder else DEFAULT_TEXT_SHAPES, artifact.max_length)
        require_lengths(shapes, artifact.max_length)
    return make_workload(artifact, task, shapes or DEFAULT_OTHER_SHAPES, options.text, options.num_new_tokens)


def _fitting(shapes: Sequence[Shape], max_length: int | None) -> Sequence[Shape]:
    """Default shapes, shortened for models that take less."""
    if max_length is None:
        return shapes
    return tuple(dict.fromkeys(replace(shape, length=min(shape.length or 1, max_length)) for shape in shapes))


def _limits(asked: Mapping[str, float]) -> Limits:
    for name, value in asked.items():
        if name not in LIMIT_NAMES:
            raise OptionError(f"Unknown accuracy limit {name!r}; there are {', '.join(LIMIT_NAMES)}.")
        highest = float("inf") if name == "max_perplexity_increase" else 1.0
        if not -1 <= value <= highest:
            raise OptionError(f"{name} is {value}; it must be a number from -1 to {highest:g}.")
    return Limits(asked)


def _precisions(artifact: Artifact, asked: Sequence[str], limits: Limits) -> tuple[tuple[str, ...], dict[str, str]]:
    """Precisions within the limits, and why others are not."""
    wanted = tuple(str(canonical_dtype(dtype)) for dtype in asked) or artifact.variants
    missing = [dtype for dtype in wanted if dtype not in artifact.variants]
    if missing:
        raise ArtifactNotFoundError(
            f"{artifact.folder} has no variant {missing[0]!r}; it has {', '.join(artifact.variants)}. "
            "Pass some of these as --dtype, or export it again."
        )
    reasons = {dtype: limits.refusal(artifact, dtype) for dtype in wanted}
    refused = {dtype: reason for dtype, reason in reasons.items() if reason is not None}
    allowed = tuple(dtype for dtype in wanted if dtype not in refused)
    if not allowed:
        raise OptionError(f"No precision is within the limits: {'; '.join(refused.values())}. Allow more.")
    return allowed, refused


def _record(search: Search, found: Setup) -> TuningRecord:
    """The setup with its figures: once more beside the untuned one, shape by shape."""
    setup, beside = search.settle(found)
    figures = tuple(
        ShapeFigures(str(shape), untuned_ms=round(before * 1e3, 4), tuned_ms=round(after * 1e3, 4))
        for shape, before, after in zip(
            search.scope.workload.shapes, beside.champion_s, beside.challenger_s, strict=True
        )
    )
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    cosine = round(search.cosine_of(setup), 9)
    return TuningRecord(this_machine().to_text(), setup, figures, cosine, round(1 / beside.ratio, 3), today)
