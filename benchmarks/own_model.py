"""`headway bench`: an artifact's variants in turns, beside PyTorch where that is asked for."""

import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headway.runtime.artifact import Artifact
from headway.runtime.errors import CheckpointError, HeadwayError, MissingExtraError, OptionError, TaskError
from headway.runtime.models import MODEL_CLASSES
from headway.runtime.session import Session, SessionOptions
from headway.runtime.threads import usable_cpu_count

from .contest import Case, Contest, Outcome
from .own_accuracy import outputs_agreement, tokens_agreement
from .own_inputs import make_arrays, parse_shape, text_ids
from .peers.catalogue import Peer
from .peers.engine import Settings
from .statistics import without_prefill
from .workloads.records import contest_record

PYTORCH = "PyTorch fp32"
NEW_TOKENS = 32
_TURN_S = 0.3
_MOST_CALLS = 20
_PREFILL, _DECODE = "prompt", "a token"
_PROMPT_SHAPES: Sequence[str] = ("1x128",)
_SHAPES: Sequence[str] = ("1x16", "1x128", "8x128")


class BenchmarkError(HeadwayError, RuntimeError):
    """Nothing could be measured."""


@dataclass(frozen=True)
class Question:
    """What `headway bench` is asked.

    Args:
        folder: the artifact.
        against: ``"torch"``, or None for Headway alone.
        checkpoint: the artifact's checkpoint, a folder or a hub id.
        shapes: batch and length, such as ``8x128``.
        dtypes: variants; none for all of the artifact.
        threads: of every engine.
        rounds: turns of every engine.
    """

    folder: Path
    against: str | None = None
    checkpoint: str | None = None
    shapes: Sequence[str] = ()
    dtypes: Sequence[str] = ()
    threads: int | None = None
    rounds: int = 10


def measure(question: Question) -> dict[str, Any]:
    """Measure, and return the record, in a workload's form.

    Raises:
        MissingExtraError: PyTorch is to be measured and is not installed here.
        HeadwayError: the artifact or an option cannot be used, or no engine could be started.
    """
    artifact = Artifact(question.folder)
    is_decoder = artifact.likely_task == "text-generation"
    peers = list(_peers(artifact, question))
    threads = question.threads or usable_cpu_count()
    shapes = question.shapes or (_PROMPT_SHAPES if is_decoder else _SHAPES)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make = _decoder_cases if is_decoder else _forward_cases
        cases = list(make(artifact, folder, [parse_shape(shape) for shape in shapes]))

        def settings(peer: Peer) -> Settings:
            checkpoint = Path(question.checkpoint or "")
            return Settings(checkpoint, folder, question.folder, threads, peer.precision, peer.options)

        with Contest(peers, "decoder" if is_decoder else "forward", settings) as contest:
            for case in cases:
                contest.ask_all(case)
            contest.take_turns([_sized(case, contest) for case in cases], question.rounds)
        outcome = contest.outcome
        if not outcome.seconds:
            raise BenchmarkError(f"No engine could be measured: {outcome.unavailable}.")
        accuracy = tokens_agreement(outcome.answers, _DECODE) if is_decoder else outputs_agreement(outcome.answers)
    if is_decoder:
        _decode_alone(outcome)
    return contest_record(
        "bench",
        f"{artifact.folder.name}, batch × length",
        f"{threads} threads each, a process each, in turns, {question.rounds} rounds.",
        peers,
        cases,
        outcome,
        lambda name: accuracy.get(name, {}),
        baseline=_baseline(peers, outcome),
    )


def _peers(artifact: Artifact, question: Question) -> Iterator[Peer]:
    """PyTorch where it is asked for, then each variant."""
    if question.against is not None:
        _require_pytorch(artifact, question)
        options = {"class": MODEL_CLASSES[artifact.likely_task or ""].__name__}
        yield Peer(PYTORCH, "pytorch_engine", options=options, group="all")
    unknown = sorted(set(question.dtypes) - set(artifact.variants))
    if unknown:
        raise OptionError(f"{artifact.folder} has no variant {unknown[0]}; it has {', '.join(artifact.variants)}.")
    for dtype in question.dtypes or artifact.variants:
        yield Peer(f"Headway {dtype}", "headway_engine", precision=dtype, group="all", is_ours=True)


def _require_pytorch(artifact: Artifact, question: Question) -> None:
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"--against torch needs {' and '.join(missing)} in this environment: pip install 'headway[export]'."
        )
    if artifact.likely_task not in MODEL_CLASSES:
        raise TaskError(f"{artifact.folder} does not say its task; headway bench cannot load the same in PyTorch.")
    if question.checkpoint is None:
        raise CheckpointError(
            f"--against torch needs the checkpoint that {artifact.folder} was exported from: --checkpoint FOLDER."
        )


def _baseline(peers: Sequence[Peer], outcome: Outcome) -> str | None:
    """PyTorch, or the first variant where it takes no part."""
    measured = next(iter(outcome.seconds.values()))
    return next((peer.name for peer in peers if peer.name in measured), None)


def _forward_cases(artifact: Artifact, folder: Path, shapes: Sequence[tuple[int, int]]) -> Iterator[Case]:
    components = artifact.components()
    if list(components) != ["model"]:
        raise TaskError(f"headway bench measures heads and language models; {artifact.folder} has several graphs.")
    session = Session(components["model"], artifact.folder, SessionOptions(device="cpu"))
    for batch, length in shapes:
        path = folder / f"{batch}x{length}.npz"
        arrays: dict[str, Any] = make_arrays(session.inputs, artifact.folder, (batch, length))
        np.savez(path, **arrays)
        yield Case(f"{batch}×{length}", {"path": str(path)}, uncounted=1)


def _decoder_cases(artifact: Artifact, folder: Path, shapes: Sequence[tuple[int, int]]) -> Iterator[Case]:
    for batch, length in shapes:
        ids = text_ids(artifact.folder, (batch, length)).tolist()
        for label, num_tokens in ((_PREFILL, 1), (_DECODE, NEW_TOKENS)):
            yield Case(
                f"{batch}×{length}, {label}", {"ids": ids, "num_tokens": num_tokens}, uncounted=int(num_tokens == 1)
            )


def _sized(case: Case, contest: Contest) -> Case:
    """The case with as many calls in a turn as a third of a second holds."""
    seconds = contest.trial(case)
    return replace(case, calls=max(1, min(_MOST_CALLS, int(_TURN_S / seconds)))) if case.uncounted else case


def _decode_alone(outcome: Outcome) -> None:
    for name in [name for name in outcome.seconds if name.endswith(_DECODE)]:
        prefills = outcome.seconds[name.replace(_DECODE, _PREFILL)]
        for engine, turns in outcome.seconds[name].items():
            outcome.seconds[name][engine] = without_prefill(turns, prefills[engine], NEW_TOKENS - 1)
