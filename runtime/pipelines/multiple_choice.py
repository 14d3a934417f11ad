"""A prompt and choices to the choice that fits best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..batching import IntArray, PaddedBatch, Rows, padded_batches, token_batches
from ..errors import InputError
from ..numerics import softmax
from .encode import CutLog, encode_rows
from .inputs import by_index, require_keys, require_text, require_texts
from .options import PipelineOptions
from .progress import Progress
from .text import TextPipeline
from .text_classification import require_top_k
from .windows import Window


@dataclass(frozen=True)
class MultipleChoiceOptions(PipelineOptions):
    """Options of multiple choice.

    Args:
        top_k: how many choices to give, best first; None gives all.
    """

    top_k: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_top_k(self.top_k)


@dataclass(frozen=True)
class Questions:
    """Choices of each item, and one row for each choice, those of an item side by side."""

    choices: list[list[str]]
    rows: Rows

    @property
    def starts(self) -> IntArray:
        """(items,) row of each item's first choice."""
        counts = self.counts
        return np.cumsum(counts) - counts

    @property
    def counts(self) -> IntArray:
        """(items,) number of choices of each item."""
        return np.array([len(own) for own in self.choices], dtype=np.int64)


class MultipleChoicePipeline(TextPipeline[MultipleChoiceOptions, Questions]):
    """Scores of the choices of a prompt.

    A prompt with its choices (``{"prompt", "choices"}``) gives a list of ``{"label", "score", "index"}``, best first:
    the choice, its probability among the item's choices, and its place among them. Several give a list of these.
    Each choice runs as the second text of a pair whose first is the prompt, as in transformers' guide to multiple
    choice; transformers has no such pipeline.
    """

    model_task = "multiple-choice"
    options_type = MultipleChoiceOptions
    accepted = "a dict {'prompt': …, 'choices': […]}"

    def __call__(self, inputs: Any, choices: Sequence[str] | None = None, **options: Any) -> Any:
        """Choose for one item, a list or iterable of them, or a prompt with ``choices``."""
        if choices is not None:
            inputs = {"prompt": inputs, "choices": choices}
        return super().__call__(inputs, **options)

    def prepare(self, window: Window, options: MultipleChoiceOptions, cuts: CutLog) -> Questions:
        """Tokenize each prompt with each of its choices."""
        items = [_prompt_and_choices(item, window.name(index)) for index, item in enumerate(window.items)]
        pairs = [(prompt, choice) for prompt, choices in items for choice in choices]
        owners = [index for index, (_, choices) in enumerate(items) for _ in choices]
        name_of = by_index(window.name, owners)
        return Questions(
            [choices for _, choices in items], encode_rows(self.tokenizer, pairs, self.policy(options), cuts, name_of)
        )

    def complete(self, prepared: Questions, options: MultipleChoiceOptions, progress: Progress) -> Sequence[Any]:
        """Choices of each item, best first, with their scores."""
        results: list[Any] = [None] * len(prepared.choices)
        counts = prepared.counts
        # A batch is (items, choices, sequence), so its items must have equally many choices.
        for count in np.unique(counts):
            items = np.flatnonzero(counts == count)
            for batch in self._batches(prepared, items, int(count), options):
                logits = self.runner.run_batch(_with_choices(batch, int(count)))[0]  # (items, choices)
                for item, scores in zip(batch.indices[::count].tolist(), softmax(logits), strict=True):
                    owner = int(np.searchsorted(prepared.starts, item, side="right")) - 1
                    results[owner] = _ranked(prepared.choices[owner], scores, options.top_k)
                progress.advance(len(logits))
        return results

    def _batches(self, prepared: Questions, items: IntArray, count: int, options: MultipleChoiceOptions) -> Any:
        """Padded batches of the rows of ``items``, whose items have ``count`` choices each."""
        rows_of_items = prepared.starts[items][:, None] + np.arange(count)  # (items, choices)
        lengths = prepared.rows.lengths[rows_of_items].max(axis=1)
        budget = self.runner.budget(options)
        batches = token_batches(lengths, None if budget is None else max(1, budget // count), options.batch_size)
        return padded_batches(
            prepared.rows, [rows_of_items[batch].ravel() for batch in batches], self.runner.pad_token_id or 0
        )


def _with_choices(batch: PaddedBatch, count: int) -> PaddedBatch:
    """The batch with its rows as (items, choices, sequence)."""

    def split(values: IntArray) -> IntArray:
        return values.reshape(-1, count, values.shape[-1])

    return replace(
        batch,
        input_ids=split(batch.input_ids),
        attention_mask=split(batch.attention_mask),
        token_type_ids=split(batch.token_type_ids),
    )


def _ranked(choices: Sequence[str], scores: Any, top_k: int | None) -> list[dict[str, Any]]:
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [{"label": choices[i], "score": float(scores[i]), "index": i} for i in order.tolist()]


def _prompt_and_choices(item: Any, name: str) -> tuple[str, list[str]]:
    keys = require_keys(item, ("prompt", "choices"), (), name)
    choices = require_texts(keys["choices"], f"{name}['choices']")
    if not choices:
        raise InputError(f"{name}['choices'] is empty; there must be something to choose from.")
    return require_text(keys["prompt"], f"{name}['prompt']"), choices
