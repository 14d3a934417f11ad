"""SmolLM2-135M: prefill and decode at fp32, 8 and 4 bits, several prompt lengths and batches, with perplexity beside.

Each engine answers through its user's call: once for one new token, which is the prefill, and once for many. What the
many take longer is the decode.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import transformers

from headway.export.precisions.texts import TextSource, evaluation_text
from headway.runtime import AutoTokenizer
from headway.runtime.threads import usable_cpu_count

from ..contest import Case, Contest, Outcome, by_group
from ..peers.catalogue import DECODERS, Peer, choose
from ..peers.engine import Settings
from ..real_models import fetch
from ..sentences import real_sentences
from ..statistics import without_prefill
from .choices import Choices
from .preparation import headway_artifact, original_gguf, work_folder
from .records import contest_record

REFERENCE = "PyTorch fp32"
DTYPES = ("fp32", "int8", "q8", "q4")
TUNED_SHAPES: Sequence[str] = ()
NUM_ROUNDS = 7
SCORED_ROWS, SCORED_TOKENS = 4, 512


@dataclass(frozen=True)
class Shape:
    """One prompt length and batch, with the tokens that are decoded and the turns of each engine."""

    prompt: int
    batch: int
    new_tokens: int
    rounds: int | None
    prefill_calls: int

    @property
    def prefill(self) -> str:
        """Name of the case that makes one token."""
        return f"prefill {self.prompt}, batch {self.batch}"

    @property
    def decode(self) -> str:
        """Name of the case that makes many."""
        return f"decode after {self.prompt}, batch {self.batch}"


SHAPES = (
    Shape(128, 1, 64, None, 2),
    Shape(32, 1, 32, 3, 2),
    Shape(512, 1, 32, 3, 1),
    Shape(128, 8, 32, 3, 1),
)


def run(choices: Choices) -> dict[str, Any]:
    """Measure, and return the record."""
    threads = usable_cpu_count()
    checkpoint, work = fetch("smollm2"), work_folder("smollm2")
    artifact = headway_artifact(checkpoint, work / "headway", DTYPES, TUNED_SHAPES, may_be_old=choices.is_quick)
    gguf = str(original_gguf())
    peers = choose(DECODERS, [*choices.peers, REFERENCE] if choices.peers else [])
    cases = list(_cases(AutoTokenizer.from_pretrained(checkpoint), choices))

    def settings(peer: Peer) -> Settings:
        return Settings(checkpoint, work, artifact, threads, peer.precision, {**peer.options, "gguf": gguf})

    rounds = choices.num_rounds(NUM_ROUNDS)
    rows = _scored_rows(checkpoint, 1 if choices.is_quick else SCORED_ROWS)
    outcome, scores = Outcome(), {}
    for members in by_group(peers):
        with Contest(members, "decoder", settings, outcome) as contest:
            for case in cases:
                contest.ask_all(case)
            contest.take_turns(cases, rounds)
            scores.update(contest.scores(rows))
    _decode_alone(outcome, {case.name: case.request["num_tokens"] for case in cases})
    columns = _Columns(outcome, perplexities(scores))
    return contest_record(
        "decoding",
        "SmolLM2-135M: ms for the prompt, ms for each decoded token",
        (
            f"Medians, and in brackets each engine's time over Headway's first of the same class, the median of the "
            f"rounds ({rounds} at prompt 128 and batch 1, 3 elsewhere). {threads} threads each, a process each, in "
            f"turns, greedy. Perplexity of {SCORED_ROWS * SCORED_TOKENS} tokens of real text above PyTorch's in fp32. "
            "The checkpoint was made from llama.cpp's Q4_1 file, which loses nothing here for that reason."
        ),
        peers,
        cases,
        outcome,
        columns,
    )


@dataclass(frozen=True)
class _Columns:
    """What the table says of an engine beside its times."""

    outcome: Outcome
    perplexities: Mapping[str, float]

    def __call__(self, name: str) -> dict[str, Any]:
        token_s = [seconds for turn in self._main_turns(name) for seconds in turn]
        found: dict[str, Any] = {"tokens/s": 1 / median(token_s) if token_s else None}
        reference = self.perplexities.get(REFERENCE)
        own = self.perplexities.get(name)
        found["perplexity +%"] = round(100 * (own / reference - 1), 2) if own and reference else None
        found["same tokens"] = self._same_tokens(name)
        return found

    def _main_turns(self, name: str) -> Sequence[Sequence[float]]:
        return self.outcome.seconds.get(SHAPES[0].decode, {}).get(name, [])

    def _same_tokens(self, name: str) -> str | None:
        """How many greedy tokens equal the reference's before the first that does not."""
        answers = self.outcome.answers.get(SHAPES[0].decode, {})
        if name not in answers or REFERENCE not in answers:
            return None
        ours, theirs = answers[name][0], answers[REFERENCE][0]
        pairs = list(zip(ours, theirs, strict=False))
        same = next((count for count, (one, other) in enumerate(pairs) if one != other), len(pairs))
        return f"{same} of {len(theirs)}"


def perplexities(scores: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, float]:
    """Engine → perplexity, from the natural logarithms of the tokens' probabilities."""
    values = {name: [value for row in rows for value in row] for name, rows in scores.items()}
    return {name: math.exp(-sum(row) / len(row)) for name, row in values.items() if row}


def _decode_alone(outcome: Outcome, num_tokens: Mapping[str, int]) -> None:
    """Turn the seconds of prompt and tokens together into seconds of one decoded token."""
    for shape in SHAPES:
        prefills, totals = (outcome.seconds.get(name, {}) for name in (shape.prefill, shape.decode))
        for name, turns in totals.items():
            totals[name] = without_prefill(turns, prefills.get(name, []), num_tokens[shape.decode] - 1)


def _cases(tokenizer: Any, choices: Choices) -> Any:
    for shape in SHAPES[:1] if choices.is_quick else SHAPES:
        ids = _prompts(tokenizer, shape)
        rounds = 1 if choices.is_quick else shape.rounds
        new_tokens = 8 if choices.is_quick else shape.new_tokens
        calls = shape.prefill_calls
        yield Case(shape.prefill, {"ids": ids, "num_tokens": 1}, calls, uncounted=calls - 1, rounds=rounds)
        yield Case(shape.decode, {"ids": ids, "num_tokens": new_tokens}, rounds=rounds)


def _prompts(tokenizer: Any, shape: Shape) -> list[list[int]]:
    """Rows of real text, all of one length."""
    ids = tokenizer(" ".join(real_sentences(60 * shape.batch + 30)))["input_ids"]
    return [[int(token) for token in ids[row * shape.prompt :][: shape.prompt]] for row in range(shape.batch)]


def _scored_rows(checkpoint: Any, count: int) -> list[list[int]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    ids = TextSource(tokenizer, evaluation_text()).take(count * SCORED_TOKENS)
    return [[int(token) for token in ids[start : start + SCORED_TOKENS]] for start in range(0, len(ids), SCORED_TOKENS)]
