"""Example inputs: for tracing, and the random and edge cases of verification."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from .tasks import Task

MAX_VERIFIED_LENGTH = 2048
_TRACE_BATCH, _TRACE_CHOICES, _TRACE_LENGTH = 2, 3, 11


@dataclass(frozen=True)
class InputBuilder:
    """Makes inputs that a model accepts.

    Args:
        names: the graph's inputs, in order; ``input_ids`` first.
        vocab_size: ids are drawn below it.
        max_length: longest input the model takes, or None.
        pad_token_id, special_ids: ids that random text must not hold.
        final_id: id that ends each row where the head looks for it, such as BART's ``</s>``.
    """

    task: Task
    names: tuple[str, ...]
    vocab_size: int
    max_length: int | None
    pad_token_id: int = 0
    special_ids: frozenset[int] = frozenset()
    final_id: int | None = None
    type_vocab_size: int = 2

    def build(self, lengths: list[int], choices: int = _TRACE_CHOICES, seed: int = 0) -> dict[str, torch.Tensor]:
        """Right-padded int64 inputs: one row for each length, (batch, sequence) or (batch, choices, sequence)."""
        generator = torch.Generator().manual_seed(seed)
        rows = lengths if len(self.task.axes) == 2 else [length for length in lengths for _ in range(choices)]
        width = max(rows)
        ids = self._random_ids(len(rows), width, generator)
        mask = (torch.arange(width)[None, :] < torch.tensor(rows)[:, None]).long()
        if self.final_id is not None:
            ids[torch.arange(len(rows)), torch.tensor(rows) - 1] = self.final_id
        tensors = {
            "input_ids": torch.where(mask.bool(), ids, torch.tensor(self.pad_token_id)),
            "attention_mask": mask,
            "token_type_ids": (torch.arange(width)[None, :] >= torch.tensor(rows)[:, None] // 2).long() * mask,
        }
        shape = (len(lengths), width) if len(self.task.axes) == 2 else (len(lengths), choices, width)
        return {name: tensors[name].reshape(shape) for name in self.names}

    def trace_example(self) -> dict[str, torch.Tensor]:
        """Inputs to trace with: no axis has size one, no two axes the same size, one row is padded."""
        return self.build([self._fit(_TRACE_LENGTH), self._fit(_TRACE_LENGTH - 4)][:_TRACE_BATCH])

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

    def _fit(self, length: int) -> int:
        return min(length, self.max_length) if self.max_length else length

    def _random_ids(self, rows: int, width: int, generator: torch.Generator) -> torch.Tensor:
        allowed = [index for index in range(min(self.vocab_size, 50_000)) if index not in self.special_ids]
        choices = torch.tensor(allowed or [0])
        return choices[torch.randint(len(choices), (rows, width), generator=generator)]


def input_builder(model: PreTrainedModel, task: Task, tokenizer: Any | None) -> InputBuilder:
    """An input builder that fits the model: only inputs that its forward takes and its outputs depend on."""
    config = model.config.get_text_config()
    vocab_size = int(getattr(config, "vocab_size", 0) or len(tokenizer or ()) or 2)
    pad_token_id = _first_int(getattr(config, "pad_token_id", None), getattr(tokenizer, "pad_token_id", None), 0)
    builder = InputBuilder(
        task=task,
        names=("input_ids",),
        vocab_size=vocab_size,
        max_length=longest_input(model),
        pad_token_id=pad_token_id,
        special_ids=_special_ids(config, tokenizer),
        final_id=_first_int(getattr(config, "eos_token_id", None)) if config.is_encoder_decoder else None,
    )
    accepted = inspect.signature(model.forward).parameters
    optional = [name for name in ("attention_mask", "token_type_ids") if name in accepted]
    names = ("input_ids", *(name for name in optional if _matters(model, builder, name)))
    return InputBuilder(**{**builder.__dict__, "names": names})


def longest_input(model: PreTrainedModel) -> int | None:
    """Longest input in tokens, or None where nothing limits it.

    A table of learned positions is the hard limit (RoBERTa's starts after its padding index); otherwise the config's
    ``max_position_embeddings``.
    """
    for name, module in model.named_modules():
        leaf = name.rsplit(".", 1)[-1]
        if isinstance(module, torch.nn.Embedding) and leaf in ("position_embeddings", "wpe", "embed_positions"):
            offset = getattr(module, "offset", None)
            if offset is None:
                offset = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings - offset)
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    return int(limit) if isinstance(limit, int) and limit > 0 else None


def _matters(model: PreTrainedModel, builder: InputBuilder, name: str) -> bool:
    """Whether the outputs change with the input, which decides whether the graph declares it."""
    names = tuple(dict.fromkeys((*builder.names, "attention_mask", name)))
    accepted = inspect.signature(model.forward).parameters
    names = tuple(candidate for candidate in names if candidate in accepted)
    first = InputBuilder(**{**builder.__dict__, "names": names}).build([12, 5])
    second = {
        **first,
        name: torch.zeros_like(first[name]) if name == "token_type_ids" else torch.ones_like(first[name]),
    }
    try:
        with torch.no_grad():
            one, other = model(**first)[0], model(**second)[0]
    except (IndexError, RuntimeError, ValueError):
        return name == "attention_mask"
    return not torch.equal(one, other)


def _special_ids(config: Any, tokenizer: Any | None) -> frozenset[int]:
    names = ("pad_token_id", "eos_token_id", "bos_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
    values = [getattr(config, name, None) for name in names]
    ids = {index for value in values for index in (value if isinstance(value, list) else [value]) if index is not None}
    return frozenset(ids | set(getattr(tokenizer, "all_special_ids", None) or ()))


def _first_int(*values: Any) -> int | None:
    return next((value for value in values if isinstance(value, int)), None)  # type: ignore[return-value]
