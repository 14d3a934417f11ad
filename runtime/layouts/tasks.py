"""What a folder without a manifest is for: by its config's architecture, else by what its graph takes and gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

# The architecture's ending → the task.
_TASKS_BY_ARCHITECTURE: Mapping[str, str] = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForMultipleChoice": "multiple-choice",
    "ForNextSentencePrediction": "next-sentence-prediction",
    "ForImageClassification": "image-classification",
    "ForAudioClassification": "audio-classification",
    "WhisperForConditionalGeneration": "automatic-speech-recognition",
    "Speech2TextForConditionalGeneration": "automatic-speech-recognition",
    "MoonshineForConditionalGeneration": "automatic-speech-recognition",
    "ForCTC": "automatic-speech-recognition",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "Model": "feature-extraction",
}
_HIDDEN_STATES = frozenset({"last_hidden_state", "token_embeddings", "sentence_embedding"})
_ANSWER_SPANS = frozenset({"start_logits", "end_logits"})
# Task → axes of its logits.
_LOGITS_AXES: Mapping[str, int] = {
    "text-classification": 2,
    "multiple-choice": 2,
    "next-sentence-prediction": 2,
    "image-classification": 2,
    "audio-classification": 2,
    "token-classification": 3,
    "fill-mask": 3,
    "text-generation": 3,
}
_MOST_TAGS = 512

Shape = Sequence[str | int]
"""Axes of a graph's input or output; empty where the graph does not declare them."""


def task_of_config(config: Mapping[str, Any]) -> str | None:
    """The task that the first of a config's architectures is named for, or None."""
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, Sequence) and not isinstance(names, str) and names else ""
    if not name and config.get("model_type") == "whisper":
        return "automatic-speech-recognition"
    return next((task for ending, task in _TASKS_BY_ARCHITECTURE.items() if name.endswith(ending)), None)


def task_of_graphs(
    names: Collection[str], inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], said: str | None = None
) -> str | None:
    """The task of a folder: what its config says, unless the graphs are for something else; or what they can only be.

    A config keeps the architecture of the checkpoint, whatever head was exported of it.

    Args:
        names: of the graphs, such as ``decoder_model``.
        inputs: of the encoder, or of the first graph where there is none: name → its axes.
        outputs: of the same.
        said: the task that the config's architecture is named for.

    >>> ids = {"input_ids": ("batch", "sequence")}
    >>> task_of_graphs({"model"}, {**ids, "past_key_values.0.key": ()}, {"logits": (), "present.0.key": ()})
    'text-generation'
    >>> task_of_graphs({"model"}, ids, {"last_hidden_state": ()}, said="fill-mask")
    'feature-extraction'
    >>> task_of_graphs({"model"}, ids, {"logits": ("batch", "sequence", 30522)}, said="fill-mask")
    'fill-mask'
    """
    if not outputs or len(names) > 1:
        return said or _task_of_parts(names, inputs)
    seen = _task_of_outputs(inputs, outputs)
    return seen if said is None or _contradicts(said, outputs) else said


def _task_of_parts(names: Collection[str], inputs: Mapping[str, Shape]) -> str | None:
    """By the names that optimum and transformers' exporter give to parts."""
    if not any(name.startswith(("decoder_model", "prefill", "decode")) for name in names):
        return "text-generation" if any("past_key_values." in name for name in inputs) else None
    if any(name.startswith("encoder_outputs.") for name in inputs) or {"encoder_model", "encoder"} & set(names):
        return "text2text-generation" if {"input_ids", "decoder_input_ids"} & set(inputs) else None
    return "text-generation"


def _task_of_outputs(inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> str | None:
    if any("past_key_values." in name for name in inputs) and "logits" in outputs:
        return "text-generation"
    if set(outputs) >= _ANSWER_SPANS:
        return "question-answering"
    if "input_ids" not in inputs:
        return None
    if _HIDDEN_STATES & set(outputs):
        return "feature-extraction"
    return _task_of_logits(len(inputs["input_ids"]), outputs.get("logits", ()))


def _task_of_logits(num_input_axes: int, axes: Shape) -> str | None:
    """One row of numbers for a text is a class; for each token, a class too unless there are as many as words."""
    if num_input_axes == 2 and len(axes) == 2:
        return "text-classification"
    if num_input_axes == 3 and len(axes) == 2:
        return "multiple-choice"
    is_tagger = len(axes) == 3 and isinstance(axes[2], int) and axes[2] <= _MOST_TAGS
    return "token-classification" if is_tagger else None


def _contradicts(task: str, outputs: Mapping[str, Shape]) -> bool:
    """Whether outputs whose names say what they are leave out what a task needs."""
    known = {"logits", *_ANSWER_SPANS, *_HIDDEN_STATES} & set(outputs)
    if task == "feature-extraction":
        return bool(known) and not known & _HIDDEN_STATES
    if task == "question-answering":
        return bool(known) and not known >= _ANSWER_SPANS
    if task not in _LOGITS_AXES:
        return False
    num_axes = len(outputs.get("logits", ()))
    return bool(known) and ("logits" not in known or num_axes not in (0, _LOGITS_AXES[task]))
