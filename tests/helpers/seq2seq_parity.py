"""Tiny encoder-decoders exported, and generation by Headway and by transformers side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from headway.benchmarks.tiny_checkpoints import tiny_model
from headway.export.convert import export
from headway.runtime import AutoModelForSeq2SeqLM

NUM_NEW_TOKENS = 32
LENGTHS = (9, 4, 1)
START_TOKEN = 0


def tiny_seq2seq(model_type: str) -> PreTrainedModel:
    """A tiny encoder-decoder with random weights, and a start token where its configuration has none."""
    model = tiny_model(model_type, "AutoModelForSeq2SeqLM")
    if model.generation_config.decoder_start_token_id is None:
        model.generation_config.decoder_start_token_id = START_TOKEN
    return model


def exported(model: PreTrainedModel, folder: Path) -> AutoModelForSeq2SeqLM:
    """Export a model in memory and load the artifact."""
    export(model, folder, task="text2text-generation", progress=False)
    return AutoModelForSeq2SeqLM.from_pretrained(folder, num_threads=1)


def ragged_batch(model: PreTrainedModel, side: str, seed: int = 0) -> dict[str, np.ndarray]:
    """``input_ids`` and ``attention_mask`` of three inputs of different lengths, padded on one side."""
    vocab_size = model.config.get_text_config().vocab_size
    generator = np.random.default_rng(seed)
    pad_token_id = model.generation_config.pad_token_id or 0
    ids = np.full((len(LENGTHS), max(LENGTHS)), pad_token_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        columns = slice(0, length) if side == "right" else slice(max(LENGTHS) - length, None)
        ids[row, columns] = generator.integers(10, vocab_size - 10, length)
        mask[row, columns] = 1
    return {"input_ids": ids, "attention_mask": mask}


def transformers_ids(model: PreTrainedModel, inputs: dict[str, np.ndarray], **options: Any) -> list[list[int]]:
    """What transformers generates."""
    tensors = {name: torch.tensor(value) for name, value in inputs.items()}
    with torch.no_grad():
        return model.generate(**tensors, **options).tolist()


def assert_generation_parity(model: PreTrainedModel, loaded: AutoModelForSeq2SeqLM) -> None:
    """32 tokens of a ragged batch, greedy and with four beams, padded on either side, equal to transformers'."""
    for side in ("right", "left"):
        inputs = ragged_batch(model, side)
        for num_beams in (1, 4):
            options = {"do_sample": False, "num_beams": num_beams, "max_new_tokens": NUM_NEW_TOKENS}
            expected = transformers_ids(model, inputs, **options)
            assert loaded.generate(**inputs, **options).tolist() == expected, (side, num_beams)
