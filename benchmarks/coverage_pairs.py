"""The pairs of a coverage run: every model type that transformers registers for a head."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import transformers
from transformers.models.auto import modeling_auto

from headway.export.tasks import TASKS

# Task → what its pairs are counted under. A new head is a new entry.
TEXT_HEADS = (
    "feature-extraction",
    "text-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "next-sentence-prediction",
    "fill-mask",
)
GROUPS = {"text heads": TEXT_HEADS}


@dataclass(frozen=True, order=True)
class Pair:
    """A model type and a head."""

    task: str
    model_type: str

    @property
    def auto_class(self) -> str:
        """Transformers' class that loads it."""
        return TASKS[self.task].auto_class

    def __str__(self) -> str:
        return f"{self.model_type} × {self.task}"


def registered_pairs(tasks: Iterable[str], model_types: Iterable[str] = ()) -> Iterator[Pair]:
    """Every pair in transformers' tables, in their order; backbones only where they take text.

    Args:
        tasks: names of tasks.
        model_types: keep these alone; all where it is empty.
    """
    wanted = set(model_types)
    for task in tasks:
        for model_type, class_names in getattr(modeling_auto, TASKS[task].mapping).items():
            if wanted and model_type not in wanted:
                continue
            if task != "feature-extraction" or _takes_text(class_names):
                yield Pair(task, model_type)


def _takes_text(class_names: str | tuple[str, ...]) -> bool:
    """Whether a backbone's main input is text, which vision and audio backbones' is not."""
    name = class_names if isinstance(class_names, str) else class_names[0]
    model_class: Any = getattr(transformers, name, None)
    if model_class is None or getattr(model_class, "main_input_name", "input_ids") != "input_ids":
        return False
    try:
        return "input_ids" in inspect.signature(model_class.forward).parameters
    except (TypeError, ValueError):
        return False
