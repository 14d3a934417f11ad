"""A T5 title model shipped as int8 ONNX encoder and decoder graphs, dequantised to a transformers folder.

onnxruntime's dynamic quantisation stores a weight ``w`` as three initialisers, ``w_quantized``, ``w_scale`` and
``w_zero_point``, with ``w = (quantized - zero_point) * scale``. Embeddings keep their parameter's name; the weight of a
matrix product has lost it (and is transposed), so its name is read from the node that uses it.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = {
    "architectures": ["T5ForConditionalGeneration"],
    "model_type": "t5",
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 1024,
    "num_layers": 8,
    "num_decoder_layers": 8,
    "num_heads": 6,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "dropout_rate": 0.1,
    "is_encoder_decoder": True,
    "use_cache": True,
    "tie_word_embeddings": False,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "n_positions": 512,
    "dtype": "float32",
}
GENERATION_CONFIG = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
TOKENIZER_CONFIG = {
    "tokenizer_class": "T5Tokenizer",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "extra_ids": 100,
    "model_max_length": 512,
}


def convert_onnx_t5(source: Path, target: Path) -> None:
    """Write the encoder.onnx, decoder.onnx and tokenizer.json of `source` as a T5 folder to `target`."""
    from safetensors.numpy import save_file

    weights = _read_weights(source / "encoder.onnx") | _read_weights(source / "decoder.onnx")
    # Encoder and decoder read the same table as `shared`; a checkpoint holds it once.
    weights.pop("encoder.embed_tokens.weight")
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    _write_json(target / "config.json", CONFIG)
    _write_json(target / "generation_config.json", GENERATION_CONFIG)
    _write_json(target / "tokenizer_config.json", TOKENIZER_CONFIG)
    _copy_tokenizer(source / "tokenizer.json", target / "tokenizer.json")


def _read_weights(path: Path) -> dict[str, np.ndarray]:
    """Every parameter of one graph under the name transformers gives it, float32."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    initializers = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = {}
    for name in initializers:
        if name.endswith(".weight"):
            weights[_parameter(name)] = initializers[name].copy()
        elif name.endswith(".weight_quantized"):
            stored = name.removesuffix("_quantized")
            weights[_parameter(stored)] = _dequantize(initializers, stored)
    for node in graph.node:
        if node.op_type == "MatMulInteger" and node.input[1].endswith("_quantized"):
            stored = node.input[1].removesuffix("_quantized")
            module = node.name.lstrip("/").rsplit("/", 1)[0].replace("/", ".")
            # (in, out) in the graph, (out, in) in torch.nn.Linear
            weights[_parameter(f"{module}.weight")] = np.ascontiguousarray(_dequantize(initializers, stored).T)
    return weights


def _parameter(name: str) -> str:
    """``enc.block…`` and ``m.decoder.block…``, the exporter's wrapper modules, as transformers' parameter names."""
    return re.sub(r"^enc\.", "encoder.", re.sub(r"^m\.", "", name))


def _dequantize(initializers: dict[str, np.ndarray], name: str) -> np.ndarray:
    quantized = initializers[f"{name}_quantized"].astype(np.float32)
    zero_point = initializers[f"{name}_zero_point"].astype(np.float32)
    return np.ascontiguousarray((quantized - zero_point) * initializers[f"{name}_scale"], dtype=np.float32)


def _copy_tokenizer(source: Path, target: Path) -> None:
    """Copy tokenizer.json without the padding and 48-token truncation that its packager left switched on."""
    tokenizer = json.loads(source.read_text(encoding="utf-8"))
    _write_json(target, tokenizer | {"truncation": None, "padding": None})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
