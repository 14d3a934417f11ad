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


def task_of_config(config: Mapping[str, Any]) -> str | None:
    """The task that the first of a config's architectures is named for, or None."""
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, Sequence) and not isinstance(names, str) and names else ""
    if not name and config.get("model_type") == "whisper":
        return "automatic-speech-recognition"
    return next((task for ending, task in _TASKS_BY_ARCHITECTURE.items() if name.endswith(ending)), None)


def task_of_graphs(names: Collection[str], inputs: Collection[str], outputs: Collection[str]) -> str | None:
    """The task that a folder's graphs can only be for, or None.

    Args:
        names: of the graphs, such as ``decoder_model``.
        inputs: of the encoder, or of the first graph where there is none.
        outputs: of the same.

    >>> task_of_graphs({"model"}, {"input_ids", "past_key_values.0.key"}, {"logits", "present.0.key"})
    'text-generation'
    >>> task_of_graphs({"model"}, {"input_ids"}, {"last_hidden_state"})
    'feature-extraction'
    """
    takes_text = "input_ids" in inputs
    if "encoder_model" in names and any(name.startswith("decoder_model") for name in names):
        return "text2text-generation" if takes_text else None
    if any("past_key_values." in name for name in inputs) and "logits" in outputs:
        return "text-generation"
    if {"start_logits", "end_logits"} <= set(outputs):
        return "question-answering"
    return "feature-extraction" if _HIDDEN_STATES & set(outputs) and takes_text else None
