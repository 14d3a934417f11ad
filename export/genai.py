"""A second door to a decoder's graph for onnxruntime-genai: its inputs, on the same weights, and genai_config.json.

onnxruntime-genai feeds an attention mask and reads every token's logits; Headway's graphs take row lengths and the
places of the logits that are wanted. ``model_genai.onnx`` computes the one from the other, and reads its weights from
the file that ``model.onnx`` reads them from. Source of the settings: onnxruntime-genai 0.18, ``src/config.h`` and
``src/models/model_type.h``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from headway.runtime.artifact import Component, Manifest, file_entry, read_json
from headway.runtime.errors import OptionError, VerificationError

GENAI_FILE = "genai_config.json"

# Small tensors stay in the graph: shape inference reads some of them.
_LEAST_EXTERNAL_BYTES = 1024

# Decoders run alike; the type only says which tokenizer quirks and inputs beside ids there are.
_KNOWN_TYPES = (
    "gemma",
    "gemma2",
    "gemma3_text",
    "granite",
    "llama",
    "mistral",
    "olmo",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
)
_COMPUTED_INPUTS = ("seqlens_k", "total_sequence_length", "logits_to_keep", "sequence_lengths")
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_SEARCH_DEFAULTS: Mapping[str, Any] = {
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": True,
    "length_penalty": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
}


def require_decoder(family: str) -> None:
    """Refuse early what onnxruntime-genai has no loop for.

    Raises:
        OptionError: the model is no decoder.
    """
    if family != "decoder":
        raise OptionError(f"genai=True is for language models that are one decoder; this is a {family}. Leave it out.")


def write_genai(folder: Path, manifest: Manifest, dtype: str) -> Manifest:
    """Let onnxruntime-genai open an artifact that is being written.

    Args:
        folder: with the graphs and configs of ``manifest``.
        manifest: what has been written so far.
        dtype: the variant that it is to run.

    Returns:
        The manifest with the new files.

    Raises:
        OptionError: the model is no decoder, or its cache is not written in place.
        VerificationError: the two graphs disagree.
    """
    variant = manifest.variants[dtype]
    component = variant.components.get("model")
    names = {spec.name for spec in component.inputs} if component else set()
    if component is None or not {"seqlens_k", "total_sequence_length"} <= names:
        raise OptionError(
            f"genai=True needs a decoder whose attention is GroupQueryAttention; this {manifest.model_type} has the "
            f"inputs {', '.join(sorted(names)[:6]) or 'of another kind of model'}. Export it without."
        )
    path = folder / component.file
    files = _share_weights(path)
    genai_path = path.with_name(f"{path.stem}_genai.onnx")
    onnx.save(_with_mask(onnx.load(path, load_external_data=False)), genai_path)
    _verify(path, genai_path, component)
    config = _genai_config(folder, component, genai_path.relative_to(folder).as_posix(), manifest)
    (folder / GENAI_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    kept = [entry for entry in variant.files if entry.path != component.file]
    entries = [file_entry(folder, file) for file in (*files, genai_path)]
    others = [entry for entry in kept if entry.path not in {new.path for new in entries}]
    return manifest.with_variant(dtype, replace(variant, files=(*entries, *others)))


def _share_weights(path: Path) -> list[Path]:
    """Move a graph's weights into a file beside it, where they are not there already; both files."""
    data = path.with_name(f"{path.name}_data")
    if not data.exists():
        model = onnx.load(path)
        onnx.save(model, path, save_as_external_data=True, location=data.name, size_threshold=_LEAST_EXTERNAL_BYTES)
        data.chmod(path.stat().st_mode & 0o777)
    return [path, *sorted(path.parent.glob(f"{data.name}*"))]


def _with_mask(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with an attention mask for an input, and logits after every token."""
    graph = model.graph
    computed = {value.name for value in graph.input if value.name in _COMPUTED_INPUTS}
    inputs = [value for value in graph.input if value.name not in computed]
    mask = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"])
    nodes = _length_nodes(computed)
    del graph.input[:]
    graph.input.extend([inputs[0], mask, *inputs[1:]])
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    constants = {"genai_one": np.array(1), "genai_axis_1": np.array([1]), "genai_zero": np.array(0)}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    logits = next(value for value in graph.output if value.name == "logits")
    logits.type.tensor_type.shape.dim[1].dim_param = "sequence_length"
    return model


def _length_nodes(computed: set[str]) -> list[onnx.NodeProto]:
    """What the graph's own inputs are, computed of the mask and the ids."""
    node = helper.make_node
    nodes = [
        node("ReduceSum", ["attention_mask", "genai_axis_1"], ["genai_lengths"], keepdims=0),
        node("Sub", ["genai_lengths", "genai_one"], ["genai_last"]),
        node("Cast", ["genai_last"], ["seqlens_k"], to=TensorProto.INT32),
        node("Shape", ["attention_mask"], ["genai_mask_shape"]),
        node("Gather", ["genai_mask_shape", "genai_one"], ["genai_total"], axis=0),
        node("Cast", ["genai_total"], ["total_sequence_length"], to=TensorProto.INT32),
    ]
    if "sequence_lengths" in computed:
        nodes.append(node("Identity", ["genai_lengths"], ["sequence_lengths"]))
    if "logits_to_keep" in computed:
        nodes += [
            node("Shape", ["input_ids"], ["genai_ids_shape"]),
            node("Gather", ["genai_ids_shape", "genai_one"], ["genai_num_tokens"], axis=0),
            node("Range", ["genai_zero", "genai_num_tokens", "genai_one"], ["genai_places"]),
            node("Expand", ["genai_places", "genai_ids_shape"], ["logits_to_keep"]),
        ]
    return nodes


def _verify(path: Path, genai_path: Path, component: Component) -> None:
    """Both graphs on the same tokens: they hold the same operators, so every number has to be the same."""
    import onnxruntime

    ids = np.arange(3, 10, dtype=np.int64)[None]
    past = {
        spec.name: np.zeros((1, int(spec.shape[1]), 0, int(spec.shape[3])), spec.dtype)
        for spec in component.inputs
        if spec.name.startswith("past_key_values.")
    }
    length = ids.shape[1]
    values: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "position_ids": np.arange(length)[None],
        "seqlens_k": np.array([length - 1], np.int32),
        "total_sequence_length": np.array(length, np.int32),
        "sequence_lengths": np.array([length]),
        "logits_to_keep": np.arange(length)[None],
        **past,
    }
    logits = []
    for file in (path, genai_path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        logits.append(session.run(["logits"], {spec.name: values[spec.name] for spec in session.get_inputs()})[0])
    if not np.allclose(logits[0], logits[1], rtol=1e-5, atol=1e-5):
        difference = np.abs(logits[0] - logits[1]).max()
        raise VerificationError(f"{genai_path.name} and {path.name} differ by {difference:.1e}; they are one graph.")


def _genai_config(folder: Path, component: Component, file: str, manifest: Manifest) -> dict[str, Any]:
    """What the builder of onnxruntime-genai would write."""
    config = read_json(folder / "config.json")
    generation_file = folder / "generation_config.json"
    generation = read_json(generation_file) if generation_file.exists() else {}
    keys = [
        spec for spec in component.inputs if spec.name.startswith("past_key_values.") and spec.name.endswith(".key")
    ]
    context_length = manifest.max_length or int(config.get("max_position_embeddings") or 2048)
    names = [spec.name for spec in component.inputs if spec.name == "position_ids"]
    token_ids = {name: generation.get(name, config.get(name)) for name in _TOKEN_IDS}
    token_ids = {name: value for name, value in token_ids.items() if value is not None}
    if "pad_token_id" not in token_ids and "eos_token_id" in token_ids:
        end = token_ids["eos_token_id"]
        token_ids["pad_token_id"] = end[0] if isinstance(end, list) else end
    head_dim = int(keys[0].shape[3])
    search = {name: generation.get(name, default) for name, default in _SEARCH_DEFAULTS.items()}
    return {
        "model": {
            **token_ids,
            "context_length": context_length,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": file,
                "head_size": head_dim,
                "hidden_size": config.get("hidden_size", head_dim * int(config.get("num_attention_heads", 1))),
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    **dict(zip(names, names, strict=True)),
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
                "num_attention_heads": config.get("num_attention_heads"),
                "num_hidden_layers": len(keys),
                "num_key_value_heads": int(keys[0].shape[1]),
            },
            "type": manifest.model_type if manifest.model_type in _KNOWN_TYPES else "llama",
            "vocab_size": config.get("vocab_size"),
        },
        "search": {**search, "max_length": context_length, "past_present_share_buffer": True},
    }
