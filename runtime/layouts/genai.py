"""Folders that onnxruntime-genai's builder writes: ``genai_config.json`` says names, sizes and search defaults.

Source: the configuration reference of onnxruntime-genai 0.18 (``src/config.h``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import CorruptArtifactError, UnsupportedFormatError
from ..safe_paths import require_relative
from .layout import Layout, ReadJson

GENAI_FILE = "genai_config.json"

_MOST_LAYERS = 10_000

# Parts of models that take more than text; what they give goes into the decoder as embeddings.
_OTHER_PARTS = ("encoder", "embedding", "vision", "speech")

# config.json's name ← genai_config.json's, in `model` and in `model.decoder`.
_MODEL_SETTINGS: Mapping[str, str] = {
    "model_type": "type",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "pad_token_id": "pad_token_id",
}
_DECODER_SETTINGS: Mapping[str, str] = {
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_size",
}
_SEARCH_SETTINGS = (
    "do_sample",
    "early_stopping",
    "length_penalty",
    "min_length",
    "no_repeat_ngram_size",
    "num_beams",
    "num_return_sequences",
    "repetition_penalty",
    "temperature",
    "top_k",
    "top_p",
)
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")

# The field's name of a tensor → its key under `decoder.inputs` and `decoder.outputs`.
_NAMED_TENSORS: Mapping[str, str] = {
    "input_ids": "inputs",
    "attention_mask": "inputs",
    "position_ids": "inputs",
    "logits": "outputs",
}
_CACHE_TENSORS = (
    ("past_key_values.{}.key", "inputs", "past_key_names"),
    ("past_key_values.{}.value", "inputs", "past_value_names"),
    ("present.{}.key", "outputs", "present_key_names"),
    ("present.{}.value", "outputs", "present_value_names"),
)


def read(files: Sequence[str], read_json: ReadJson) -> Layout | None:
    """The layout of a folder with a ``genai_config.json``, or None where there is none.

    Raises:
        UnsupportedFormatError: the model has parts beside a decoder.
        CorruptArtifactError: the file is not what the builder writes.
    """
    values = read_json(GENAI_FILE)
    if values is None:
        return None
    model = values.get("model")
    decoder = model.get("decoder") if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(decoder, Mapping):
        raise CorruptArtifactError(f"{GENAI_FILE} has no model.decoder; copy the folder again.")
    others = [part for part in _OTHER_PARTS if part in model]
    if others or "pipeline" in decoder:
        raise UnsupportedFormatError(
            f"{GENAI_FILE} describes {', '.join(others) or 'a pipeline of graphs'} beside the decoder; of "
            "onnxruntime-genai's models those that are one decoder can be run. Export the checkpoint with "
            "`headway export`."
        )
    file = require_relative(str(decoder.get("filename", "model.onnx")), GENAI_FILE)
    return Layout(
        "onnxruntime-genai",
        {"fp32": {"model": file}},
        tensor_names=dict(_tensor_names(decoder)),
        config=_config(model, decoder),
        generation=_generation(model, values.get("search")),
        task="text-generation",
    )


def _config(model: Mapping[str, Any], decoder: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json would say."""
    found = {ours: model[theirs] for ours, theirs in _MODEL_SETTINGS.items() if theirs in model}
    found |= {ours: decoder[theirs] for ours, theirs in _DECODER_SETTINGS.items() if theirs in decoder}
    return found


def _generation(model: Mapping[str, Any], search: Any) -> dict[str, Any]:
    search = search if isinstance(search, Mapping) else {}
    found = {name: search[name] for name in _SEARCH_SETTINGS if search.get(name) is not None}
    found |= {name: model[name] for name in _TOKEN_IDS if model.get(name) is not None}
    max_length = search.get("max_length")
    # The builder writes the context's length there, which is no wish of anybody's.
    if isinstance(max_length, int) and max_length < _count(model, "context_length"):
        found["max_length"] = max_length
    return found


def _tensor_names(decoder: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, group in _NAMED_TENSORS.items():
        given = _text(decoder, group, name)
        if given not in (None, name):
            yield name, str(given)
    for pattern, group, key in _CACHE_TENSORS:
        given = _text(decoder, group, key)
        if given is None or "%d" not in given or given.replace("%d", "{}") == pattern:
            continue
        for layer in range(_count(decoder, "num_hidden_layers", _MOST_LAYERS)):
            yield pattern.format(layer), given.replace("%d", str(layer))


def _count(settings: Mapping[str, Any], name: str, most: int | None = None) -> int:
    """A whole number of the file, 0 where it is not there."""
    value = settings.get(name) or 0
    if not isinstance(value, int) or value < 0 or (most is not None and value > most):
        limit = "" if most is None else f" up to {most:,}"
        raise CorruptArtifactError(
            f"{GENAI_FILE} says {name} is {value!r}; a whole number{limit} was expected. Copy the folder again."
        )
    return value


def _text(decoder: Mapping[str, Any], group: str, key: str) -> str | None:
    tensors = decoder.get(group)
    value = tensors.get(key) if isinstance(tensors, Mapping) else None
    return value if isinstance(value, str) else None
