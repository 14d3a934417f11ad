"""2,000 texts of mixed length through a sentence-embedding model: engines that sort by length and that do not."""

from typing import Any

import numpy as np

from headway.runtime.threads import usable_cpu_count

from ..contest import Case, Contest, Outcome, by_group
from ..peers.catalogue import EMBEDDERS, Peer, choose
from ..peers.engine import Settings
from ..real_models import fetch
from ..sentences import real_sentences
from .choices import Choices
from .plain_onnx import plain_onnx
from .preparation import headway_artifact, work_folder
from .records import contest_record

NUM_TEXTS, NUM_COMPARED, NUM_TRIED = 2000, 200, 100
REFERENCE = "sentence-transformers fp32, sorted"
NUM_ROUNDS = 5


def run(choices: Choices) -> dict[str, Any]:
    """Measure, and return the record."""
    threads = usable_cpu_count()
    checkpoint, work = fetch("minilm"), work_folder("minilm")
    artifact = headway_artifact(checkpoint, work / "headway", ["fp32", "int8"], ["32x32"], may_be_old=choices.is_quick)
    peers = choose(EMBEDDERS, [*choices.peers, REFERENCE] if choices.peers else [])
    onnx = plain_onnx(checkpoint, work / "plain-onnx")
    texts = real_sentences(NUM_TEXTS)

    def settings(peer: Peer) -> Settings:
        return Settings(checkpoint, work, artifact, threads, peer.precision, {**peer.options, "onnx": str(onnx)})

    measured = texts[:NUM_TRIED] if choices.is_quick else texts
    cases = [Case(f"{len(measured):,} texts", {"texts": measured})]
    rounds = choices.num_rounds(NUM_ROUNDS)
    outcome = Outcome()
    for members in by_group(peers):
        with Contest(members, "embedder", settings, outcome) as contest:
            vectors = contest.ask_all(Case("compared", {"texts": texts[:NUM_COMPARED]}))
            contest.take_turns(cases, rounds)
    turns = outcome.seconds.get(cases[0].name, {})
    expected = np.array(vectors[REFERENCE])

    def columns(name: str) -> dict[str, float]:
        speeds = [len(measured) / seconds for turn in turns.get(name, []) for seconds in turn]
        cosines = (np.array(vectors[name]) * expected).sum(axis=-1)
        return {"texts/s": float(np.median(speeds)) if speeds else 0.0, "least cosine": round(float(cosines.min()), 5)}

    return contest_record(
        "embeddings",
        f"{NUM_TEXTS:,} texts of mixed length through all-MiniLM-L6-v2",
        (
            f"Medians, and in brackets each engine's time over Headway's of the same precision class, the median of "
            f"{rounds} rounds. {threads} threads each, a process each, in turns. Every engine starts from the texts "
            f"and gives unit vectors; the least cosine to sentence-transformers' of {NUM_COMPARED} texts."
        ),
        peers,
        cases,
        outcome,
        columns,
    )
