"""AutoModelFor…: one class for each head, named as in transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from .artifact import Artifact
from .errors import TaskError
from .generation.causal_lm import AutoModelForCausalLM
from .generation.seq2seq import AutoModelForSeq2SeqLM
from .generation.seq2seq_open import DECODER
from .generation.seq2seq_speech import AutoModelForSpeechSeq2Seq
from .model import Model
from .model_loading import HubOptions, open_artifact
from .providers import computing_precision

__all__ = [
    "MODEL_CLASSES",
    "AutoModel",
    "AutoModelForAudioClassification",
    "AutoModelForCTC",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForTextEncoding",
    "AutoModelForTokenClassification",
    "AutoModelForZeroShotImageClassification",
    "Model",
    "load_model",
    "model_class_of",
]


class AutoModel(Model):
    """The backbone: ``last_hidden_state`` (batch, sequence, hidden) float32, of tokens, image patches or audio frames.

    Convolutional networks give (batch, channels, height, width); towers such as CLIP's give ``text_embeds`` or
    ``image_embeds`` too.
    """

    task = "feature-extraction"


class AutoModelForSequenceClassification(Model):
    """``logits`` (batch, num_labels) float32."""

    task = "text-classification"
    output_ranks: ClassVar = {"logits": 2}


class AutoModelForTokenClassification(Model):
    """``logits`` (batch, sequence, num_labels) float32."""

    task = "token-classification"
    output_ranks: ClassVar = {"logits": 3}


class AutoModelForQuestionAnswering(Model):
    """``start_logits`` and ``end_logits`` (batch, sequence) float32."""

    task = "question-answering"
    output_ranks: ClassVar = {"start_logits": 2, "end_logits": 2}


class AutoModelForMaskedLM(Model):
    """``logits`` (batch, sequence, vocab) float32."""

    task = "fill-mask"
    output_ranks: ClassVar = {"logits": 3}


class AutoModelForMultipleChoice(Model):
    """``logits`` (batch, choices) float32, from inputs of (batch, choices, sequence)."""

    task = "multiple-choice"
    output_ranks: ClassVar = {"logits": 2}


class AutoModelForNextSentencePrediction(Model):
    """``logits`` (batch, 2) float32: follows, or does not."""

    task = "next-sentence-prediction"
    output_ranks: ClassVar = {"logits": 2}


class AutoModelForTextEncoding(AutoModel):
    """A text encoder, such as T5's or CLIP's: ``last_hidden_state`` (batch, sequence, hidden) float32."""


class AutoModelForImageClassification(Model):
    """``logits`` (batch, num_labels) float32, from ``pixel_values`` (batch, channels, height, width) float32."""

    task = "image-classification"
    output_ranks: ClassVar = {"logits": 2}


class AutoModelForAudioClassification(Model):
    """``logits`` (batch, num_labels) float32, from ``input_values`` or ``input_features`` float32."""

    task = "audio-classification"
    output_ranks: ClassVar = {"logits": 2}


class AutoModelForCTC(Model):
    """``logits`` (batch, frames, vocab) float32, from ``input_values`` or ``input_features`` float32."""

    task = "automatic-speech-recognition"
    output_ranks: ClassVar = {"logits": 3}


class AutoModelForZeroShotImageClassification(Model):
    """``logits_per_image`` (images, texts) float32 and its transpose, from images and texts of two batches.

    ``text_embeds`` (texts, dim) and ``image_embeds`` (images, dim) come along where the model has them. Models of
    videos have ``logits_per_video`` and ``video_embeds``.
    """

    task = "zero-shot-image-classification"
    output_ranks: ClassVar = {"logits_per_text": 2}


MODEL_CLASSES: dict[str, type[Model]] = {
    model_class.task: model_class
    for model_class in (
        AutoModel,
        AutoModelForAudioClassification,
        AutoModelForCTC,
        AutoModelForCausalLM,
        AutoModelForImageClassification,
        AutoModelForMaskedLM,
        AutoModelForMultipleChoice,
        AutoModelForNextSentencePrediction,
        AutoModelForQuestionAnswering,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoModelForZeroShotImageClassification,
    )
}
"""Task → the class that loads its artifacts; see :func:`model_class_of` for the task that has two."""


def model_class_of(task: str, artifact: Artifact) -> type[Model]:
    """The class that loads an artifact of a task: speech is recognised by CTC heads and by models that write."""
    if task == AutoModelForSpeechSeq2Seq.task and _writes(artifact):
        return AutoModelForSpeechSeq2Seq
    return MODEL_CLASSES[task]


def _writes(artifact: Artifact) -> bool:
    return bool(artifact.config.get("is_encoder_decoder")) or DECODER in artifact.components()


def load_model(name_or_path: str | Path, task: str | None = None, **options: Any) -> Model:
    """Load an artifact with the class its task needs.

    Args:
        name_or_path: a folder or a hub id.
        task: the task; None takes the one in the manifest, or the one the config's architecture suggests.
        options: as for :meth:`Model.from_pretrained`.

    Raises:
        TaskError: the task is unknown, or the folder does not say it.
    """
    if task is not None and task not in MODEL_CLASSES:
        raise TaskError(f"No model class for task {task!r}; there are {', '.join(MODEL_CLASSES)}.")
    artifact = _opened(name_or_path, task, options)
    found = task or artifact.likely_task
    if found is None:
        raise TaskError(f"{name_or_path} has no manifest that names its task; pass task=, {', '.join(MODEL_CLASSES)}.")
    if found not in MODEL_CLASSES:
        raise TaskError(f"No model class for task {found!r}; there are {', '.join(MODEL_CLASSES)}.")
    return model_class_of(found, artifact).from_pretrained(name_or_path, **options)


def _opened(name_or_path: str | Path, task: str | None, options: Mapping[str, Any]) -> Artifact:
    hub = HubOptions(**{key: options[key] for key in HubOptions.__dataclass_fields__ if key in options})
    chosen = {key: options[key] for key in ("dtype", "file_name", "export") if key in options}
    chosen["dtype"], _ = computing_precision(options.get("dtype"))
    return open_artifact(name_or_path, hub, task=task, **chosen)
