"""The pairs of a coverage run: every model type that transformers registers for a head."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import transformers
from transformers.models.auto import modeling_auto

from headway.export.tasks import TASKS, Task

TEXT, DECODERS, SEQ2SEQ, OTHERS = "text heads", "decoders", "encoder-decoders", "images and audio"
# Head → what it is counted with; the others belong to images and audio.
_GROUPS = {
    "text-classification": TEXT,
    "token-classification": TEXT,
    "question-answering": TEXT,
    "multiple-choice": TEXT,
    "next-sentence-prediction": TEXT,
    "fill-mask": TEXT,
    "text-encoding": TEXT,
    "feature-extraction": TEXT,
    "text-generation": DECODERS,
    "text2text-generation": SEQ2SEQ,
}
# Head (a key of TASKS) → its group, in the order of the page.
HEADS: Mapping[str, str] = _GROUPS | {name: OTHERS for name in TASKS if name not in _GROUPS}


@dataclass(frozen=True)
class Pair:
    """A model type and a head."""

    head: str
    model_type: str

    @property
    def task(self) -> Task:
        """What its checkpoint is exported for."""
        return TASKS[self.head]

    @property
    def key(self) -> str:
        """What its outcome is kept under."""
        return f"{self.head}/{self.model_type}"

    def __str__(self) -> str:
        return f"{self.model_type} × {self.head}"


def registered_pairs(heads: Iterable[str]) -> Iterator[Pair]:
    """Every pair in transformers' tables, in their order; backbones only where they take text."""
    for head in heads:
        for model_type, class_names in getattr(modeling_auto, TASKS[head].mapping).items():
            if head != "feature-extraction" or _takes_text(class_names):
                yield Pair(head, model_type)


def named_pairs(keys: Iterable[str]) -> list[Pair]:
    """Pairs by what their outcomes are kept under, such as ``text-classification/bert``."""
    return [Pair(*key.split("/", 1)) for key in keys]


def _takes_text(class_names: str | tuple[str, ...]) -> bool:
    """Whether a backbone's main input is text, which vision and audio backbones' is not."""
    name = class_names if isinstance(class_names, str) else class_names[0]
    try:
        # A class whose packages are missing here is a stand-in that raises on every use.
        model_class: Any = getattr(transformers, name)
        takes_text = getattr(model_class, "main_input_name", "input_ids") == "input_ids"
        return takes_text and "input_ids" in inspect.signature(model_class.forward).parameters
    except (AttributeError, ImportError, TypeError, ValueError):
        return False
