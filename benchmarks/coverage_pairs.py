"""The pairs of a coverage run: every model type that transformers registers for a head."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import transformers
from transformers.models.auto import modeling_auto

from headway.export.tasks import TASKS


@dataclass(frozen=True)
class Head:
    """A head whose pairs are counted.

    Args:
        name: the task's, or one that tells a head apart whose checkpoints belong to another head's task.
        group: heads that are counted together.
        task: what its checkpoints are exported for.
        auto_class: transformers' class that loads them.
        mapping: name of transformers' table of architectures.
        text_only: leave out model types whose main input is no text.
    """

    name: str
    group: str
    task: str
    auto_class: str
    mapping: str
    text_only: bool = False


TEXT, DECODERS, SEQ2SEQ, OTHERS = "text heads", "decoders", "encoder-decoders", "images and audio"
_GROUPS = {
    "text-classification": TEXT,
    "token-classification": TEXT,
    "question-answering": TEXT,
    "multiple-choice": TEXT,
    "next-sentence-prediction": TEXT,
    "fill-mask": TEXT,
    "feature-extraction": TEXT,
    "text-generation": DECODERS,
    "text2text-generation": SEQ2SEQ,
}


def _heads() -> Iterator[Head]:
    for name in (*_GROUPS, *(name for name in TASKS if name not in _GROUPS)):
        task = TASKS[name]
        is_backbone = name == "feature-extraction"
        yield Head(name, _GROUPS.get(name, OTHERS), name, task.auto_class, task.mapping, text_only=is_backbone)
    yield Head(
        "text-encoding",
        TEXT,
        "feature-extraction",
        "AutoModelForTextEncoding",
        "MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES",
    )


HEADS: Mapping[str, Head] = {head.name: head for head in _heads()}


@dataclass(frozen=True)
class Pair:
    """A model type and a head."""

    head: Head
    model_type: str

    @property
    def key(self) -> str:
        """What its outcome is kept under."""
        return f"{self.head.name}/{self.model_type}"

    def __str__(self) -> str:
        return f"{self.model_type} × {self.head.name}"


def registered_pairs(heads: Iterable[str], model_types: Iterable[str] = ()) -> Iterator[Pair]:
    """Every pair in transformers' tables, in their order; backbones only where they take text.

    Args:
        heads: names of heads.
        model_types: keep these alone; all where it is empty.
    """
    wanted = set(model_types)
    for head in (HEADS[name] for name in heads):
        for model_type, class_names in getattr(modeling_auto, head.mapping).items():
            if wanted and model_type not in wanted:
                continue
            if not head.text_only or _takes_text(class_names):
                yield Pair(head, model_type)


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
