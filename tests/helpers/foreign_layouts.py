"""Decoders in every layout that others write: the writer, what it has to compute, and the loop that it gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign_folders as foreign
from foreign_folders import attention_logits, sum_logits

from headway.runtime.generation.decoder import Decoder
from headway.runtime.generation.growing import GrowingDecoder


def _single(folder: Path) -> Path:
    foreign.sum_decoder().save(folder / "model.onnx")
    return foreign.write_config(folder, architectures=["LlamaForCausalLM"])


def _trio(folder: Path) -> Path:
    foreign.sum_decoder(past=None).save(folder / "decoder_model.onnx")
    foreign.sum_decoder(num_tokens=1).save(folder / "decoder_with_past_model.onnx")
    return foreign.write_config(folder, architectures=["LlamaForCausalLM"])


def _merged(folder: Path) -> Path:
    foreign.sum_decoder(is_merged=True).save(folder / "onnx" / "decoder_model_merged_quantized.onnx")
    return foreign.write_config(folder, architectures=["LlamaForCausalLM"])


def _without_cache(folder: Path) -> Path:
    foreign.sum_decoder(past=None, present=None).save(folder / "model.onnx")
    return foreign.write_config(folder, architectures=["LlamaForCausalLM"])


def _embeddings(folder: Path) -> Path:
    foreign.embeddings_graph().save(folder / "onnx" / "embed_tokens_q4.onnx")
    decoder = foreign.sum_decoder(takes_embeddings=True, counts_logits=True)
    decoder.save(folder / "onnx" / "decoder_model_merged_q4.onnx", data="decoder_model_merged_q4.onnx_data")
    return foreign.write_config(folder, architectures=["LlamaForCausalLM"])


def transformers_chunks(folder: Path) -> Path:
    return foreign.write_transformers_export(folder, num_tokens="sequence_length")


def _genai_counting(folder: Path) -> Path:
    return foreign.write_genai(folder, foreign.attention_decoder(counts_logits=True))


# Layout → what writes it, its formula, and the loop it gets.
DECODERS: dict[str, tuple[Callable[[Path], Path], Any, type]] = {
    "optimum": (_single, sum_logits, GrowingDecoder),
    "optimum-trio": (_trio, sum_logits, GrowingDecoder),
    "optimum-merged": (_merged, sum_logits, GrowingDecoder),
    "optimum-without-cache": (_without_cache, sum_logits, GrowingDecoder),
    "transformers.js-embeddings": (_embeddings, sum_logits, GrowingDecoder),
    "transformers": (foreign.write_transformers_export, sum_logits, GrowingDecoder),
    "transformers-chunks": (transformers_chunks, sum_logits, GrowingDecoder),
    "genai": (foreign.write_genai, attention_logits, Decoder),
    "genai-counting": (_genai_counting, attention_logits, Decoder),
}
