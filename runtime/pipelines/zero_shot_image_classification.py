"""Images to any labels, judged by a model that knows images and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import InputTooLongError
from ..images.processor import ImageProcessor
from ..models import Model
from ..numerics import FloatArray, sigmoid, softmax
from ..tokenization.tokenizer import Tokenizer
from .base import Parts
from .candidate_labels import Labels, parse_labels, require_template
from .encode import CutLog
from .feature_batches import Array, Row, run_rows
from .image import ImagePipeline, ImagePipelineOptions, load_image_processor
from .progress import Progress
from .text import length_limit, load_tokenizer
from .windows import Window

# SigLIP was trained on texts padded to this length. Source: ZeroShotImageClassificationPipeline of transformers 5.23.
_SIGLIP_LENGTH = 64


@dataclass(frozen=True)
class ZeroShotImageOptions(ImagePipelineOptions):
    """Options of zero-shot image classification.

    Args:
        candidate_labels: the labels, as a list or separated by commas.
        hypothesis_template: text with ``{}`` where a label goes.
        tokenizer_kwargs: options of the tokenizer, such as ``{"padding": "max_length"}``.
    """

    candidate_labels: Labels | None = None
    hypothesis_template: str = "This is a photo of {}."
    tokenizer_kwargs: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_template(self.hypothesis_template)


@dataclass(frozen=True)
class LabelledImages:
    """Prepared images, the labels to choose among for each, and the texts that labels become."""

    rows: list[Row]
    labels: list[tuple[str, ...]]
    texts: Mapping[tuple[str, ...], Row]


class ZeroShotImageClassificationPipeline(ImagePipeline[ZeroShotImageOptions, LabelledImages]):
    """Scores of labels that the model was not trained on: ``[{"score", "label"}]``, best first.

    A list of images gives a list of them. Each label becomes a text; scores are a softmax over the labels, or for
    SigLIP a sigmoid of each. Source: ``ZeroShotImageClassificationPipeline`` of transformers 5.23.
    """

    model_task = "zero-shot-image-classification"
    options_type = ZeroShotImageOptions
    output_names = ("logits_per_image",)
    item_keys = ("candidate_labels",)

    def __init__(
        self,
        model: Model,
        image_processor: ImageProcessor,
        tokenizer: Tokenizer,
        task: str,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(model, image_processor, task, options)
        self.tokenizer = tokenizer
        self.limit = length_limit(model, tokenizer)
        self.is_siglip = "siglip" in str(model.config.get("model_type"))
        self._text_names = [name for name in model.session.input_names if name not in image_processor.model_input_names]

    @classmethod
    def build(cls, model: Model, parts: Parts, task: str, options: Mapping[str, Any]) -> Self:
        """A pipeline with the image processor and tokenizer that were given, or else the model's own."""
        image_processor = load_image_processor(parts.image_processor, model)
        return cls(model, image_processor, load_tokenizer(parts.tokenizer, model), task, options)

    def __call__(  # type: ignore[override]  # transformers' own names
        self, image: Any = None, candidate_labels: Labels | None = None, **options: Any
    ) -> Any:
        """Classify an image, or each one of a list or iterable, by ``candidate_labels``."""
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return super().__call__(options.pop("images", image), **options)

    def prepare(self, window: Window, options: ZeroShotImageOptions, cuts: CutLog) -> LabelledImages:
        """Load and prepare the images of a window, and tokenize the texts of their labels."""
        labels = [tuple(parse_labels(_labels_of(item, options.candidate_labels))) for item in window.items]
        texts = {distinct: self._text_inputs(distinct, options, cuts) for distinct in dict.fromkeys(labels)}
        return LabelledImages(self.image_rows(window, options), labels, texts)

    def complete(self, prepared: LabelledImages, options: ZeroShotImageOptions, progress: Progress) -> Sequence[Any]:
        """Labels of each image, best first, with their scores."""
        results: list[Any] = [None] * len(prepared.rows)
        for labels, texts in prepared.texts.items():
            owners = [index for index, own in enumerate(prepared.labels) if own == labels]
            rows = [prepared.rows[index] for index in owners]
            for indices, (logits,) in run_rows(
                self.model, rows, [self.output_name], options.batch_size, progress, shared=texts
            ):
                for index, scores in zip(indices, self._scores(logits), strict=True):
                    results[owners[index]] = _ranked(labels, scores)
        return results

    def _text_inputs(self, labels: Sequence[str], options: ZeroShotImageOptions, cuts: CutLog) -> Row:
        """What the graph takes of the labels' texts: (labels, sequence) each."""
        texts = [options.hypothesis_template.format(label) for label in labels]
        settings: dict[str, Any] = {"padding": True}
        if self.is_siglip:
            settings |= {"padding": "max_length", "max_length": _SIGLIP_LENGTH, "truncation": True}
        settings |= options.tokenizer_kwargs or {}
        if self.is_siglip or not settings.get("truncation"):
            self._check_lengths(labels, texts, cuts)
        encoded = self.tokenizer(texts, return_tensors="np", **settings)
        inputs = {name: np.asarray(encoded[name]) for name in self._text_names if name in encoded}
        # A tokenizer that gives no mask means that padding is read, too.
        if "attention_mask" in self._text_names:
            inputs.setdefault("attention_mask", np.ones_like(inputs["input_ids"]))
        return inputs

    def _check_lengths(self, labels: Sequence[str], texts: Sequence[str], cuts: CutLog) -> None:
        """Say which texts are cut, or that one cannot be taken."""
        lengths = np.array([len(ids) for ids in self.tokenizer(list(texts))["input_ids"]])
        if self.is_siglip:
            if lengths.max() > _SIGLIP_LENGTH:
                cuts.add(lengths[lengths > _SIGLIP_LENGTH], _SIGLIP_LENGTH)
        elif self.limit is not None and lengths.max() > self.limit:
            longest = int(lengths.argmax())
            raise InputTooLongError(
                f"The text of the label {labels[longest][:60]!r} has {lengths[longest]} tokens; the model takes "
                f"{self.limit}. Shorten the label, or pass tokenizer_kwargs={{'truncation': True}}."
            )

    @property
    def _scores(self) -> Callable[[Array], FloatArray]:
        return sigmoid if self.is_siglip else softmax

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy model, image processor and tokenizer into ``folder``, so that a pipeline loads from there."""
        super().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def _labels_of(item: Any, default_labels: Labels | None) -> Any:
    return item.get("candidate_labels", default_labels) if isinstance(item, dict) else default_labels


def _ranked(labels: Sequence[str], scores: Array) -> list[dict[str, Any]]:
    """Labels with their scores, best first; of equal scores the earlier label."""
    order = np.argsort(-scores, kind="stable")
    return [{"score": float(scores[index]), "label": labels[index]} for index in order.tolist()]
