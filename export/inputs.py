"""Example inputs: for tracing, and the random and edge cases of verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from transformers import PreTrainedModel

from .input_kinds import INPUT_KINDS, Rows
from .tasks import Task

MAX_VERIFIED_LENGTH = 2048
_TRACE_CHOICES, _TRACE_LENGTH = 3, 11
_BLOCK_LENGTHS = (
    "attention_window",
    "block_size",
    "chunk_size",
    "local_attn_chunk_length",
    "local_transformer_stride",
    "lsh_attn_chunk_length",
    "mamba_chunk_size",
)
# Special ids are few; ids of large vocabularies are drawn from their beginning.
_DRAWN_VOCABULARY = 50_000
# What configurations call the most positions a model was made for.
_POSITION_LIMITS = ("max_position_embeddings", "max_seq_len")


class Inputs(Protocol):
    """Makes inputs of one kind, such as texts or images, that a model accepts."""

    @property
    def names(self) -> tuple[str, ...]:
        """The graph's inputs in order, the main one first."""

    @property
    def max_length(self) -> int | None:
        """Longest text in tokens, or None where nothing limits it."""

    @property
    def computed_axes(self) -> Mapping[int, str]:
        """Index of an output's axis → its name where its size is none of the inputs'."""

    def build(self, lengths: list[int], *, seed: int = 0) -> dict[str, torch.Tensor]:
        """A batch with a row for each length: in tokens, in steps of an audio model; images have but one size."""

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""

    def trace_example(self) -> dict[str, torch.Tensor]:
        """Inputs to trace with."""

    def other_example(self) -> dict[str, torch.Tensor]:
        """Inputs that differ from the trace example in every size that may change."""

    def verification_cases(self) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
        """Named cases at the edges."""

    def fixed(self) -> Inputs | None:
        """The same with fewer axes that may change, or None."""


@dataclass(frozen=True)
class InputBuilder:
    """Makes texts that a model accepts.

    Args:
        task: says whether a row is a text or several choices.
        config: the text model's configuration.
        names: the graph's inputs, in order; ``input_ids`` first.
        vocab_size: ids are drawn below it.
        max_length: longest input the model takes, or None.
        pad_token_id: fills rows up to the longest.
        special_ids: ids that random text must not hold.
        final_id: id that ends each row where the head looks for it, such as BART's ``</s>``.
    """

    task: Task
    config: Any
    names: tuple[str, ...]
    vocab_size: int
    max_length: int | None
    pad_token_id: int = 0
    special_ids: frozenset[int] = frozenset()
    final_id: int | None = None
    computed_axes: ClassVar[Mapping[int, str]] = {}

    def build(self, lengths: list[int], choices: int = _TRACE_CHOICES, seed: int = 0) -> dict[str, torch.Tensor]:
        """Right-padded inputs: one row for each length, (batch, sequence, …) or (batch, choices, sequence, …)."""
        has_choices = len(self.task.axes) == 3
        rows = self._rows([length for length in lengths for _ in range(choices if has_choices else 1)], seed)
        tensors = {name: INPUT_KINDS[name].make(rows) for name in self.names}
        leading = (len(lengths), choices) if has_choices else (len(lengths),)
        return {name: tensor.reshape(*leading, *tensor.shape[1:]) for name, tensor in tensors.items()}

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""
        example = self.trace_example()
        return {name: self._axes_of(name, tensor.dim()) for name, tensor in example.items()}

    def trace_example(self) -> dict[str, torch.Tensor]:
        """Inputs to trace with: no axis has size one, no two axes the same size, one row is padded."""
        length = self._fit(max([_TRACE_LENGTH, *(2 * block + 3 for block in self._block_lengths())]))
        return self.build([length, max(length - 4, 1)])

    def other_example(self) -> dict[str, torch.Tensor]:
        """Inputs that differ from the trace example in every size."""
        return self.build([self._fit(5), self._fit(9), self._fit(6)], choices=2, seed=1)

    def verification_cases(self) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
        """Named cases at the edges: length 1, batch 1, ragged, odd, and the longest the model takes."""
        longest = min(self.max_length or 512, MAX_VERIFIED_LENGTH)
        shapes = {
            "batch 1, length 1": [1],
            "batch 1, length 8": [8],
            "batch 3, ragged": [13, 1, 6],
            "batch 4, length 17": [17, 17, 17, 17],
            "batch 2, one row half padded": [64, 32],
            f"batch 1, length {longest} (the longest)": [longest],
        }
        for seed, (name, lengths) in enumerate(shapes.items()):
            yield name, self.build([self._fit(length) for length in lengths], choices=2 + seed % 3, seed=seed + 1)
        if "attention_mask" in self.names:
            lengths = [self._fit(length) for length in (4, 9, 7)]
            yield "batch 3, padded on the left", pad_on_the_left(self.build(lengths, seed=7))

    def fixed(self) -> None:
        """None: a text always has any length."""

    def _fit(self, length: int) -> int:
        return min(length, self.max_length) if self.max_length else length

    def _block_lengths(self) -> Iterator[int]:
        """Lengths that the model cuts texts into: one block alone would be taken for the rule."""
        for name in _BLOCK_LENGTHS:
            value = getattr(self.config, name, None)
            yield from (size for size in (value if isinstance(value, list) else [value]) if isinstance(size, int))

    def _axes_of(self, name: str, rank: int) -> tuple[str, ...]:
        width_axis = INPUT_KINDS[name].width_axis
        axes = (*self.task.axes[:-1], width_axis or self.task.axes[-1])
        return axes + ("",) * (rank - len(axes))

    def _rows(self, lengths: list[int], seed: int) -> Rows:
        generator = torch.Generator().manual_seed(seed)
        width = max(lengths)
        ids = self._allowed_ids[torch.randint(len(self._allowed_ids), (len(lengths), width), generator=generator)]
        mask = torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]
        for row, length in enumerate(lengths):
            self._put_special_ids(ids[row], length)
        ids = torch.where(mask, ids, torch.tensor(self.pad_token_id))
        return Rows(self.config, ids, mask.long(), torch.tensor(lengths), generator)

    def _put_special_ids(self, row: torch.Tensor, length: int) -> None:
        """Put the ids that some heads look for where they stand in real text: a pair's separators, a question mark."""
        separator = getattr(self.config, "sep_token_id", None)
        question = getattr(self.config, "question_token_id", None)
        if isinstance(separator, int) and length >= 5:
            middle = length // 2
            row[middle - 1 : middle + 1] = separator
            row[length - 1] = separator
        if isinstance(question, int) and length >= 3:
            row[1] = question
        if self.final_id is not None:
            row[length - 1] = self.final_id

    @cached_property
    def _allowed_ids(self) -> torch.Tensor:
        drawn = min(self.vocab_size, _DRAWN_VOCABULARY)
        return torch.tensor([index for index in range(drawn) if index not in self.special_ids] or [0])


def pad_on_the_left(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Right-padded inputs with each row's padding moved to its front.

    Args:
        inputs: with ``attention_mask``; the tensors that have its axes first are moved alike.
    """
    mask = inputs["attention_mask"]
    width = mask.shape[-1]
    order = (torch.arange(width) + mask.sum(-1, keepdim=True)) % width
    moved = {}
    for name, tensor in inputs.items():
        if tensor.shape[: mask.dim()] != mask.shape:
            moved[name] = tensor
            continue
        index = order.reshape(*order.shape, *[1] * (tensor.dim() - mask.dim())).expand_as(tensor)
        moved[name] = tensor.gather(mask.dim() - 1, index)
    return moved


def longest_input(model: PreTrainedModel) -> int | None:
    """Longest input in tokens, or None where nothing limits it.

    A table of learned positions is the hard limit (RoBERTa's starts after its padding index); otherwise what the
    config says.
    """
    for name, module in model.named_modules():
        leaf = name.rsplit(".", 1)[-1]
        if isinstance(module, torch.nn.Embedding) and leaf in ("position_embeddings", "wpe", "embed_positions"):
            offset = getattr(module, "offset", None)
            if offset is None:
                offset = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings - offset)
    config = model.config.get_text_config()
    limits = (getattr(config, name, None) for name in _POSITION_LIMITS)
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)
