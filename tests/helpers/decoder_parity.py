"""Greedy decoding of tiny causal language models by Headway and by transformers, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PreTrainedModel

from headway.benchmarks.tiny_checkpoints import spread_weights, tiny_config
from headway.export.convert import export
from headway.runtime import AutoModelForCausalLM

NUM_NEW_TOKENS = 32
PROMPT_LENGTHS = (9, 4, 1)
# Heads large enough for the attention operator to rotate them itself.
WIDE_HEADS = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}


def variant(model_type: str, overrides: dict[str, Any]) -> PreTrainedModel:
    """A tiny model with some attributes of its configuration set; None takes one out."""
    values = {**tiny_config(model_type, "AutoModelForCausalLM").to_dict(), **overrides}
    config = transformers.AutoConfig.for_model(**{key: value for key, value in values.items() if value is not None})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    spread_weights(model)
    return model.eval()


def exported(model: PreTrainedModel, folder: Path) -> AutoModelForCausalLM:
    """Export a model in memory and load the artifact."""
    export(model, folder, task="text-generation", progress=False)
    return AutoModelForCausalLM.from_pretrained(folder, num_threads=1)


def ragged_prompts(vocab_size: int, seed: int = 0) -> list[np.ndarray]:
    """Three prompts of different lengths, without the ids that configurations use for special tokens."""
    generator = np.random.default_rng(seed)
    return [generator.integers(10, vocab_size - 10, length) for length in PROMPT_LENGTHS]


def padded(prompts: list[np.ndarray], side: str, pad_token_id: int = 0) -> dict[str, np.ndarray]:
    """``input_ids`` and ``attention_mask`` of prompts padded on one side."""
    width = max(map(len, prompts))
    ids = np.full((len(prompts), width), pad_token_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(prompts):
        columns = slice(width - len(tokens), None) if side == "left" else slice(0, len(tokens))
        ids[row, columns], mask[row, columns] = tokens, 1
    return {"input_ids": ids, "attention_mask": mask}


def reference_tokens(model: PreTrainedModel, prompt: np.ndarray, **options: Any) -> list[int]:
    """What transformers generates after one prompt, without the prompt."""
    options = {"do_sample": False, "max_new_tokens": NUM_NEW_TOKENS, **options}
    with torch.no_grad():
        output = model.generate(torch.tensor(prompt)[None], pad_token_id=0, eos_token_id=None, **options)
    return output[0, len(prompt) :].tolist()


def assert_greedy_parity(model: PreTrainedModel, folder: Path) -> AutoModelForCausalLM:
    """32 greedy tokens of a ragged batch, padded on either side, equal to transformers' for each prompt alone."""
    loaded = exported(model, folder)
    prompts = ragged_prompts(loaded.decoder.vocab_size)
    expected = [reference_tokens(model, prompt) for prompt in prompts]
    for side in ("left", "right"):
        batch = padded(prompts, side)
        output = loaded.generate(
            **batch, do_sample=False, max_new_tokens=NUM_NEW_TOKENS, pad_token_id=0, eos_token_id=None
        )
        assert output[:, batch["input_ids"].shape[1] :].tolist() == expected, f"{side}-padded"
    return loaded
