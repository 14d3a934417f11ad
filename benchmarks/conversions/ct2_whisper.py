"""A Whisper model in CTranslate2's format, turned back into a transformers folder in float32.

CTranslate2 packs the query, key and value projections of self-attention into ``linear_0`` (key and value alone in
cross-attention, where ``linear_0`` is the query), and names normalisation's weight and bias gamma and beta.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headway.runtime.errors import CorruptArtifactError

from .ct2_format import read_ct2_weights

Weights = dict[str, np.ndarray]

ENGLISH_VOCAB_SIZE = 51864
TOKENIZER_CONFIG = {
    "tokenizer_class": "WhisperTokenizer",
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
    "model_max_length": 1024,
    "processor_class": "WhisperProcessor",
}


def convert_ct2_whisper(source: Path, target: Path) -> None:
    """Write the model.bin, config.json and tokenizer.json of `source` as a Whisper folder to `target`."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    weights = read_ct2_weights(source / "model.bin")
    model = WhisperForConditionalGeneration(WhisperConfig(**_architecture(weights)))
    renamed = {name: torch.from_numpy(weight.astype(np.float32)) for name, weight in _rename(weights)}
    model.load_state_dict(renamed, strict=True)
    model.generation_config = _generation_config(weights, json.loads((source / "config.json").read_text()))
    model.save_pretrained(target)
    WhisperFeatureExtractor(feature_size=model.config.num_mel_bins).save_pretrained(target)
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    (target / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG, indent=2) + "\n")


def _architecture(weights: Weights) -> dict[str, int]:
    """The arguments of WhisperConfig, read from the shapes of the weights."""
    vocab_size, d_model = weights["decoder/embeddings/weight"].shape
    eos = _eos_token_id(vocab_size)
    return {
        "vocab_size": vocab_size,
        "d_model": d_model,
        "num_mel_bins": weights["encoder/conv1/weight"].shape[1],
        "encoder_layers": _num_layers(weights, "encoder"),
        "decoder_layers": _num_layers(weights, "decoder"),
        "encoder_attention_heads": int(weights["encoder/num_heads"]),
        "decoder_attention_heads": int(weights["decoder/num_heads"]),
        "encoder_ffn_dim": weights["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        "decoder_ffn_dim": weights["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        "decoder_start_token_id": eos + 1,
        "bos_token_id": eos,
        "eos_token_id": eos,
        "pad_token_id": eos,
    }


def _eos_token_id(vocab_size: int) -> int:
    return 50256 if vocab_size == ENGLISH_VOCAB_SIZE else 50257


def _num_layers(weights: Weights, side: str) -> int:
    return len({name.split("/")[1] for name in weights if name.startswith(f"{side}/layer_") and name.count("/") > 2})


def _generation_config(weights: Weights, ct2_config: dict[str, Any]) -> Any:
    from transformers import GenerationConfig

    vocab_size = weights["decoder/embeddings/weight"].shape[0]
    eos = _eos_token_id(vocab_size)
    is_english = vocab_size == ENGLISH_VOCAB_SIZE
    return GenerationConfig(
        decoder_start_token_id=eos + 1,
        bos_token_id=eos,
        eos_token_id=eos,
        pad_token_id=eos,
        suppress_tokens=ct2_config["suppress_ids"],
        begin_suppress_tokens=ct2_config["suppress_ids_begin"],
        alignment_heads=ct2_config["alignment_heads"],
        is_multilingual=not is_english,
        no_timestamps_token_id=50362 if is_english else 50363,
        prev_sot_token_id=50360 if is_english else 50361,
        max_initial_timestamp_index=50,
        return_timestamps=False,
        max_length=448,
    )


def _rename(weights: Weights) -> Iterator[tuple[str, np.ndarray]]:
    """Each weight of the model under transformers' name."""
    embeddings = weights["decoder/embeddings/weight"]
    yield "model.decoder.embed_tokens.weight", embeddings
    yield "proj_out.weight", embeddings
    yield from _linear(weights, "encoder/conv1", "model.encoder.conv1")
    yield from _linear(weights, "encoder/conv2", "model.encoder.conv2")
    for side in ("encoder", "decoder"):
        yield f"model.{side}.embed_positions.weight", weights[f"{side}/position_encodings/encodings"]
        yield from _norm(weights, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for index in range(_num_layers(weights, side)):
            yield from _layer(weights, f"{side}/layer_{index}", f"model.{side}.layers.{index}")


def _layer(weights: Weights, source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    attention = f"{source}/self_attention"
    yield from _split(weights, f"{attention}/linear_0", f"{target}.self_attn", ["q_proj", "k_proj", "v_proj"])
    yield from _linear(weights, f"{attention}/linear_1", f"{target}.self_attn.out_proj")
    yield from _norm(weights, f"{attention}/layer_norm", f"{target}.self_attn_layer_norm")
    if source.startswith("decoder/"):
        attention = f"{source}/attention"
        yield from _linear(weights, f"{attention}/linear_0", f"{target}.encoder_attn.q_proj")
        yield from _split(weights, f"{attention}/linear_1", f"{target}.encoder_attn", ["k_proj", "v_proj"])
        yield from _linear(weights, f"{attention}/linear_2", f"{target}.encoder_attn.out_proj")
        yield from _norm(weights, f"{attention}/layer_norm", f"{target}.encoder_attn_layer_norm")
    yield from _linear(weights, f"{source}/ffn/linear_0", f"{target}.fc1")
    yield from _linear(weights, f"{source}/ffn/linear_1", f"{target}.fc2")
    yield from _norm(weights, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")


def _linear(weights: Weights, source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{target}.weight", weights[f"{source}/weight"]
    yield f"{target}.bias", weights[f"{source}/bias"]


def _norm(weights: Weights, source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{target}.weight", weights[f"{source}/gamma"]
    yield f"{target}.bias", weights[f"{source}/beta"]


def _split(weights: Weights, source: str, target: str, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Cut packed projections apart, (n * d_model, d_model) into n of (d_model, d_model)."""
    kernels = np.split(weights[f"{source}/weight"], len(names))
    biases = np.split(weights[f"{source}/bias"], len(names))
    for name, kernel, bias in zip(names, kernels, biases, strict=True):
        yield f"{target}.{name}.weight", kernel
        if name != "k_proj":
            yield f"{target}.{name}.bias", bias
        elif np.any(bias):
            raise CorruptArtifactError(f"{source} has a bias for its keys, which Whisper has not.")
