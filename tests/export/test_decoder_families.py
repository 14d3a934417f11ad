"""Every family of decoders: exported, and greedy token for token like transformers."""

import pytest
from decoder_parity import WIDE_HEADS, assert_greedy_parity, variant

from headway.benchmarks.tiny_checkpoints import tiny_model

INTERFACE, PLAIN, RECOMPUTED = "attention interface", "plain trace", "plain trace, without a cache"

FAMILIES = {
    "cohere": INTERFACE,
    "cohere2": INTERFACE,
    "deepseek_v3": INTERFACE,
    "gemma": INTERFACE,
    "gemma2": INTERFACE,
    "gemma3_text": INTERFACE,
    "glm": INTERFACE,
    "gpt2": INTERFACE,
    "gpt_bigcode": INTERFACE,
    "gpt_neox": INTERFACE,
    "gpt_oss": INTERFACE,
    "granite": INTERFACE,
    "llama": INTERFACE,
    "mistral": INTERFACE,
    "mixtral": INTERFACE,
    "nemotron": INTERFACE,
    "olmo2": INTERFACE,
    "opt": INTERFACE,
    "phi": INTERFACE,
    "phi3": INTERFACE,
    "qwen2": INTERFACE,
    "qwen2_moe": INTERFACE,
    "qwen3": INTERFACE,
    "smollm3": INTERFACE,
    "stablelm": INTERFACE,
    "starcoder2": INTERFACE,
    "bloom": PLAIN,
    "falcon": PLAIN,
    "gpt_neo": PLAIN,
    "gptj": PLAIN,
    "mpt": PLAIN,
    # One token at a time: these keep a recurrent state.
    "jamba": PLAIN,
    "mamba": PLAIN,
    "qwen3_next": PLAIN,
    # Positions counted from the cache's length.
    "bart": INTERFACE,
    # Rotary angles as complex numbers; keys that only choose keys; four convolution states a layer.
    "deepseek_v2": INTERFACE,
    "deepseek_v32": PLAIN,
    "inkling_text": PLAIN,
    # No cache at all.
    "openai-gpt": RECOMPUTED,
}


@pytest.mark.parametrize(("model_type", "path"), FAMILIES.items(), ids=FAMILIES)
def test_family(model_type, path, tmp_path):
    loaded = assert_greedy_parity(tiny_model(model_type, "AutoModelForCausalLM"), tmp_path / "out")
    assert loaded.artifact.manifest.trace["path"] == path


# Rotary embedding inside the attention operator, and windows that the prompts reach over.
VARIANTS = {
    "llama": ("llama", WIDE_HEADS),
    "llama3 scaling": (
        "llama",
        {
            **WIDE_HEADS,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "linear scaling": (
        "llama",
        {**WIDE_HEADS, "rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0}},
    ),
    "yarn scaling": (
        "qwen3",
        {
            **WIDE_HEADS,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 100.0,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "dynamic scaling": (
        "llama",
        {**WIDE_HEADS, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}},
    ),
    "long and short factors": (
        "phi3",
        {
            **WIDE_HEADS,
            "max_position_embeddings": 128,
            "original_max_position_embeddings": 16,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 100.0,
                "original_max_position_embeddings": 16,
                "short_factor": [1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4],
                "long_factor": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            },
        },
    ),
    "qwen3": ("qwen3", WIDE_HEADS),
    "untied mistral with a window": ("mistral", {**WIDE_HEADS, "sliding_window": 6}),
    "gemma2 with windows": ("gemma2", {**WIDE_HEADS, "sliding_window": 5, "query_pre_attn_scalar": 24}),
    "gemma2 with tight caps": (
        "gemma2",
        {**WIDE_HEADS, "sliding_window": 5, "attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0},
    ),
    "gemma3 with windows": ("gemma3_text", {**WIDE_HEADS, "sliding_window": 5, "sliding_window_pattern": 2}),
    "cohere, interleaved": ("cohere", WIDE_HEADS),
    "phi, partial": ("phi", {**WIDE_HEADS, "head_dim": None, "num_key_value_heads": 4, "partial_rotary_factor": 0.5}),
    "odd head size": ("llama", {**WIDE_HEADS, "head_dim": 12}),
    "one kv head": ("llama", {**WIDE_HEADS, "num_key_value_heads": 1}),
    "tied": ("llama", {**WIDE_HEADS, "tie_word_embeddings": True}),
    "gpt_neox, sequential residual": ("gpt_neox", {"use_parallel_residual": False}),
    "opt, norm after": ("opt", {"do_layer_norm_before": False}),
    "falcon, new architecture": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon, alibi": ("falcon", {"alibi": True, "new_decoder_architecture": False}),
    "stablelm, per-head norms": ("stablelm", {"qk_layernorm": True, "use_parallel_residual": True}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name, tmp_path):
    model_type, overrides = VARIANTS[name]
    assert_greedy_parity(variant(model_type, overrides), tmp_path / "out")
