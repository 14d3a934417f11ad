"""A classifier of DistilBERT's size at four shapes, in fp32 and in each engine's reduced precision.

The weights are random: speed does not depend on them. Accuracy is judged against PyTorch in fp32 on rows of real text:
the cosine of all logits, each label's mean taken off first (random heads give every text nearly the same logits, which
would flatter everyone), and how often the largest logit belongs to the same label.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headway.runtime import AutoTokenizer
from headway.runtime.threads import usable_cpu_count

from ..contest import Case, Contest, Outcome, by_group
from ..peers.catalogue import CLASSIFIERS, Peer, choose
from ..peers.engine import Settings
from ..sentences import real_sentences
from .choices import Choices
from .preparation import classifier_checkpoint, headway_artifact, work_folder
from .records import contest_record

# Shape → timed calls of a turn: more where they are short.
SHAPES: Mapping[tuple[int, int], int] = {(1, 16): 10, (1, 128): 5, (8, 128): 2, (32, 64): 2}
TUNED_SHAPES = tuple(f"{rows}x{length}" for rows, length in SHAPES)
DTYPES = ("fp32", "int8")
ACCURACY_SHAPE = (64, 64)
REFERENCE = "PyTorch fp32"
NUM_ROUNDS = 10


def run(choices: Choices) -> dict[str, Any]:
    """Measure, and return the record."""
    threads = usable_cpu_count()
    checkpoint, work = classifier_checkpoint(), work_folder("classifier")
    artifact = headway_artifact(checkpoint, work / "headway", DTYPES, TUNED_SHAPES, may_be_old=choices.is_quick)
    peers = choose(CLASSIFIERS, [*choices.peers, REFERENCE] if choices.peers else [])
    ids = _text_ids(checkpoint)
    cases = [_case(ids, shape, calls) for shape, calls in SHAPES.items()][: 2 if choices.is_quick else None]
    judged = _case(ids, (4, 16) if choices.is_quick else ACCURACY_SHAPE, 1)

    def settings(peer: Peer) -> Settings:
        return Settings(checkpoint, work, artifact, threads, peer.precision, peer.options)

    rounds = choices.num_rounds(NUM_ROUNDS)
    outcome = Outcome()
    for members in by_group(peers):
        with Contest(members, "classifier", settings, outcome) as contest:
            for case in cases:
                contest.ask_all(case)
            contest.ask_all(judged)
            contest.take_turns(cases, rounds)
    logits = outcome.answers[judged.name]
    accuracy = {name: agreement(np.array(values), np.array(logits[REFERENCE])) for name, values in logits.items()}
    return contest_record(
        "classifier",
        "DistilBERT-size classifier (66 M parameters), batch × length",
        (
            f"Medians, and in brackets each engine's time over Headway's of the same precision class, the median of "
            f"{rounds} rounds. {threads} threads each, a process each, in turns. Accuracy on "
            f"{ACCURACY_SHAPE[0]} rows of real text against PyTorch in fp32; the weights are random."
        ),
        peers,
        cases,
        outcome,
        lambda name: accuracy.get(name, {}),
    )


def agreement(logits: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> dict[str, float]:
    """How near logits are to what they should be.

    Args:
        logits: (rows, labels).
        expected: the same, of the reference.

    Returns:
        ``cosine`` of all values, each label's mean taken off, and ``top-1, %``: rows with the same largest label.
    """
    ours, theirs = ((values - values.mean(axis=0)).ravel() for values in (logits, expected))
    cosine = float(ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs)))
    same = float((logits.argmax(axis=-1) == expected.argmax(axis=-1)).mean())
    return {"cosine": round(cosine, 5), "top-1, %": round(100 * same, 1)}


def _case(ids: Sequence[int], shape: tuple[int, int], calls: int) -> Case:
    rows, length = shape
    chunks = [list(ids[row * length : (row + 1) * length]) for row in range(rows)]
    return Case(f"{rows}×{length}", {"ids": chunks}, calls, uncounted=1)


def _text_ids(checkpoint: Any) -> list[int]:
    """Tokens of real sentences, one after the other: rows are cut from them, so that none needs padding."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    rows = tokenizer(real_sentences(1000))["input_ids"]
    return [int(token) for row in rows for token in row]
