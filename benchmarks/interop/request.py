"""What both sides of a comparison are asked, and what they answer: JSON files, since the sides share no environment."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """One folder and what is to be run on it.

    Args:
        checkpoint: the PyTorch checkpoint that the folder is an export of.
        folder: where the export lies, or is to be written.
        variant: of the exporter: ``"fp32"``, ``"int4"``, ``"merged"``…
        kind: ``"encoder"``, ``"classifier"``, ``"causal-lm"``, ``"seq2seq-lm"`` or ``"speech-lm"``.
        rows: token ids, or samples of 16 bits at 16 kHz, run one row at a time.
        num_tokens: how many tokens a language model writes, each the likeliest that does not end the text; of speech
            what is heard, filled up to as many.
    """

    checkpoint: str
    folder: str
    variant: str
    kind: str
    rows: list[list[int]]
    num_tokens: int = 0

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


SAMPLING_RATE, _FULL_SCALE = 16_000, 32_768


def waveform(row: list[int]) -> list[float]:
    """Samples from -1 to 1."""
    return [sample / _FULL_SCALE for sample in row]


def heard(tokens: list[int], start_id: int, end_id: int, num_tokens: int) -> list[int]:
    """Tokens of the text that was heard, without those that a transcript begins and ends with."""
    text = [int(token) for token in tokens if token < min(start_id, end_id)]
    return (text + [end_id] * num_tokens)[:num_tokens]


@dataclass(frozen=True)
class Answer:
    """What a runtime gave.

    Args:
        values: the main output of each row: logits after the last token, of the classes, or the last hidden state.
        tokens: what a language model wrote after each row.
    """

    values: list[Any]
    tokens: list[list[int]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def answer_request(export: Callable[[Request], None], answer: Callable[[Request], Answer]) -> None:
    """What an exporter's module does as a program: ``MODULE REQUEST.json ANSWER.json``."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = Request(**json.loads(request_path.read_text(encoding="utf-8")))
    if not Path(request.folder, ".complete").exists():
        export(request)
        Path(request.folder, ".complete").touch()
    answer(request).save(answer_path)
