"""Texts to any labels, judged by a model of natural language inference."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import Rows
from ..errors import InputError
from ..models import Model
from ..numerics import softmax
from ..tokenization.tokenizer import Tokenizer
from .candidate_labels import Labels, parse_labels, require_template
from .encode import CutLog, encode_rows
from .inputs import by_index, require_keys, require_text
from .options import PipelineOptions
from .progress import Progress
from .runner import vectors
from .text import TextPipeline
from .windows import Window

logger = logging.getLogger("headway")


@dataclass(frozen=True)
class ZeroShotOptions(PipelineOptions):
    """Options of zero-shot classification.

    Args:
        candidate_labels: the labels, as a list or separated by commas.
        hypothesis_template: text with ``{}`` where a label goes.
        multi_label: judge each label by itself, so that scores do not sum to one.
    """

    candidate_labels: Labels | None = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_template(self.hypothesis_template)


@dataclass(frozen=True)
class Judgements:
    """Texts with their labels, and one row for each text and label."""

    texts: list[str]
    labels: list[list[str]]
    rows: Rows


class ZeroShotClassificationPipeline(TextPipeline[ZeroShotOptions, Judgements]):
    """Scores of labels that the model was not trained on.

    A text gives ``{"sequence", "labels", "scores"}``, best label first; a list of texts a list of them. Each label
    becomes a hypothesis about the text; its score comes of the logit of entailment, under a softmax over the labels,
    or with ``multi_label`` (or one label) over entailment and contradiction. Source: ``ZeroShotClassificationPipeline``
    of transformers 5.23.
    """

    model_task = "text-classification"
    options_type = ZeroShotOptions
    default_truncation = "warn"
    window_size = 512
    accepted = "a text (str), or {'sequence': …, 'candidate_labels': …}"

    def __init__(self, model: Model, tokenizer: Tokenizer, task: str, options: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, task, options)
        self.entailment_id = entailment_id(model.config.label2id)
        if self.entailment_id == -1:
            logger.warning(
                "No label of the model starts with 'entail' (it has %s): the last one is taken for entailment.",
                ", ".join(model.config.label2id),
            )

    def __call__(  # type: ignore[override]  # transformers' own names
        self, sequences: Any, candidate_labels: Labels | None = None, **options: Any
    ) -> Any:
        """Classify a text, or each text of a list or iterable, by ``candidate_labels``."""
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return super().__call__(sequences, **options)

    def prepare(self, window: Window, options: ZeroShotOptions, cuts: CutLog) -> Judgements:
        """Tokenize each text with each label's hypothesis."""
        texts, labels = [], []
        for index, item in enumerate(window.items):
            text, own_labels = _text_and_labels(item, options.candidate_labels, window.name(index))
            texts.append(text)
            labels.append(own_labels)
        pairs = [
            (text, options.hypothesis_template.format(label))
            for text, own_labels in zip(texts, labels, strict=True)
            for label in own_labels
        ]
        owners = [index for index, own_labels in enumerate(labels) for _ in own_labels]
        # The hypothesis must stay whole, so only the text is cut.
        policy = self.policy(options, strategy="only_first")
        rows = encode_rows(self.tokenizer, pairs, policy, cuts, by_index(window.name, owners))
        return Judgements(texts, labels, rows)

    def complete(self, prepared: Judgements, options: ZeroShotOptions, progress: Progress) -> Sequence[Any]:
        """Labels of each text, best first, with their scores."""
        progress.expect(len(prepared.rows))
        logits = vectors(self.runner.run(prepared.rows, options, progress), len(prepared.rows))  # (rows, classes)
        results = []
        start = 0
        for text, labels in zip(prepared.texts, prepared.labels, strict=True):
            scores = label_scores(logits[start : start + len(labels)], self.entailment_id, options.multi_label)
            # Backwards through an ascending sort, as transformers does: of equal labels the last comes first.
            order = np.argsort(scores)[::-1]
            results.append(
                {"sequence": text, "labels": [labels[i] for i in order.tolist()], "scores": scores[order].tolist()}
            )
            start += len(labels)
        return results


def label_scores(logits: NDArray[Any], entailment: int, multi_label: bool) -> NDArray[Any]:
    """Scores of the labels of one text.

    Args:
        logits: (labels, classes) float, of the text with each label's hypothesis.
        entailment: class that means entailment.
        multi_label: judge each label by itself.

    Returns:
        (labels,) float.
    """
    if multi_label or len(logits) == 1:
        contradiction = -1 if entailment == 0 else 0
        return softmax(logits[:, [contradiction, entailment]])[:, 1]
    return softmax(logits[:, entailment])


def entailment_id(label2id: Mapping[str, int]) -> int:
    """Class whose label starts with "entail"; -1, the last one, where there is none."""
    return next((index for label, index in label2id.items() if label.lower().startswith("entail")), -1)


def _text_and_labels(item: Any, default_labels: Labels | None, name: str) -> tuple[str, list[str]]:
    labels = default_labels
    if isinstance(item, dict):
        keys = require_keys(item, ("sequence",), ("candidate_labels",), name)
        labels = keys.get("candidate_labels", default_labels)
        text = require_text(keys["sequence"], f"{name}['sequence']")
    else:
        text = require_text(item, name)
    if not text:
        raise InputError(f"{name} is an empty text; zero-shot classification needs something to classify.")
    return text, parse_labels(labels)
