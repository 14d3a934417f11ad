"""How small each attribute of a configuration becomes: by name for all architectures, and a table of exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VOCAB_SIZE = 1024
NUM_LAYERS, HIDDEN_SIZE, NUM_HEADS, NUM_POSITIONS = 2, 32, 4, 128
HEAD_DIM = HIDDEN_SIZE // NUM_HEADS

TOKEN_ID_SUFFIXES = ("_token_id", "_token_index", "_token_ids")


class LayerTypes:
    """A list with one entry for each layer: shortened so that every kind of layer stays."""

    @staticmethod
    def of(value: Any, num_layers: int) -> Any:
        """The shortened list."""
        return (list(dict.fromkeys(value)) * num_layers)[:num_layers] if LayerTypes.num_kinds(value) else value

    @staticmethod
    def num_kinds(value: Any) -> int:
        """How many kinds of layers a list holds; 0 where it is none."""
        return len(set(value)) if isinstance(value, (list, tuple)) else 0


def _sizes(*groups: tuple[int, str]) -> dict[str, Any]:
    return {name: size for size, names in groups for name in names.split()}


# Lists with one entry for each layer.
LAYER_LISTS = frozenset({"layer_types", "mlp_layer_types", "layers_block_type", "no_rope_layers"})

# Name → largest value; a default that is smaller stays.
SIZES: Mapping[str, Any] = _sizes(
    (
        VOCAB_SIZE,
        "vocab_size entity_vocab_size pronunciation_vocab_size shape_vocab_size num_hash_buckets text_vocab_size "
        "n_vocab",
    ),
    (
        NUM_LAYERS,
        "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers "
        "num_encoder_layers l_layers x_layers r_layers num_self_attends_per_block num_feedforward_networks depth "
        "max_window_layers num_hidden_groups",
    ),
    (
        HIDDEN_SIZE,
        "hidden_size d_model n_embd emb_dim dim embedding_size input_embedding_size entity_emb_size "
        "pooler_hidden_size word_embed_proj_dim d_latents pronunciation_embed_dim shape_embed_dim "
        "prediction_head_size projection_dim cross_attention_hidden_size embedding_dim true_hidden_size "
        "intra_bottleneck_size out_hidden_size output_dim embed_dim text_embed_dim hidden_channels "
        "encoder_hidden_size decoder_hidden_size proj_dim text_hidden_size audio_hidden_size condition_dim "
        "adapter_in_dim adapter_out_dim adapter_input_size hidden_size_global upsample_groups",
    ),
    (
        2 * HIDDEN_SIZE,
        "intermediate_size encoder_ffn_dim decoder_ffn_dim d_ff d_inner dff ffn_dim hidden_dim n_inner "
        "ffn_hidden_size feed_forward_size shared_expert_intermediate_size moe_intermediate_size "
        "attention_hidden_size output_embedding_size prompt_mid_dim",
    ),
    (
        NUM_HEADS,
        "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads "
        "num_self_attention_heads num_cross_attention_heads index_n_heads n_routed_experts num_experts "
        "num_local_experts linear_num_value_heads num_hash_functions num_query_groups",
    ),
    (
        2,
        "num_key_value_heads num_kv_heads num_experts_per_tok moe_topk top_k_experts linear_num_key_heads "
        "n_group topk_group attn_layer_period expert_layer_period sliding_window_pattern",
    ),
    (1, "attn_layer_offset expert_layer_offset n_shared_experts first_k_dense_replace"),
    (
        HEAD_DIM,
        "head_dim d_head d_kv attention_head_size kv_channels qk_rope_head_dim qk_nope_head_dim v_head_dim "
        "index_head_dim linear_key_head_dim linear_value_head_dim linear_head_dim mamba_d_state gated_norm_rank "
        "global_head_dim query_pre_attn_scalar adapter_rank embedding_rank mamba_dt_rank",
    ),
    (2 * HEAD_DIM, "q_lora_rank kv_lora_rank qk_head_dim attention_head_dim num_latents"),
    (
        NUM_POSITIONS,
        "max_position_embeddings n_positions max_encoder_position_embeddings prompt_length "
        "max_decoder_position_embeddings max_seq_len index_topk max_sequence_length max_2d_position_embeddings "
        "original_max_position_embeddings num_position_embeddings max_target_positions max_source_positions",
    ),
    (
        8,
        "sliding_window window_size local_attention keep_window_size chunk_size dim_bbox_projection "
        "hash_code_len num_hash num_landmarks patch_size",
    ),
    (16, "attention_window local_transformer_stride"),
    (32, "image_size input_size segment_means_seq_len visual_feat_dim num_mel_bins"),
) | dict.fromkeys(LAYER_LISTS, LayerTypes())

_ALL_HEADS = {"num_key_value_heads": NUM_HEADS}
_T5 = {"decoder_start_token_id": 0}
# Twice the hidden size is divided among the heads.
_MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": HEAD_DIM}
# The last half of the layers take keys and values from the first, of each kind.
_SHARED_LAYERS = {
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}

# Model type → constructor arguments that differ from the rules above; None takes the default.
EXCEPTIONS: Mapping[str, Mapping[str, Any]] = {
    "bailing_hybrid": {
        "num_nextn_predict_layers": 0,
        "num_expert_group": 2,
        "topk_group": 2,
        "num_experts_per_token": 2,
    },
    "bamba": {**_MAMBA2, "attn_layer_indices": [1]},
    # Texts here are too short for its blocks.
    "big_bird": {"attention_type": "original_full"},
    # 8 coordinates share a quarter of the hidden size, each as sines and cosines.
    "bros": {"hidden_size": 4 * HIDDEN_SIZE, "dim_bbox_projection": HIDDEN_SIZE},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {"sliding_attention": _ROPE, "full_attention": _ROPE},
    },
    "codegen": {"rotary_dim": 4},
    # Its checkpoints have it; the default configuration does not.
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": NUM_HEADS, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "encoder-decoder": {"decoder": {"is_decoder": True, "add_cross_attention": True}},
    "funnel": {"block_sizes": [1, 1, 1]},
    "esm": {"vocab_size": 33, "mask_token_id": 32, "pad_token_id": 1},
    "esmc": _ALL_HEADS,
    "gemma3n_text": {
        **_SHARED_LAYERS,
        "intermediate_size": [2 * HIDDEN_SIZE] * NUM_HEADS,
        "activation_sparsity_pattern": [0.5, 0.0, 0.5, 0.0],
        "laurel_rank": 8,
        "hidden_size_per_layer_input": HEAD_DIM,
        "vocab_size_per_layer_input": VOCAB_SIZE,
    },
    "gemma4_text": {"hidden_size_per_layer_input": HEAD_DIM, "vocab_size_per_layer_input": VOCAB_SIZE},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": {**_MAMBA2, "layer_types": ["linear_attention", "full_attention"]},
    "hunyuan_v1_dense": {"head_dim": HEAD_DIM},
    "hunyuan_v1_moe": {"head_dim": HEAD_DIM},
    # 4 coordinate parts and 2 shape parts make the hidden size.
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "kimi_linear": {"num_experts_per_token": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    # The layout stream has 1/4 of the hidden size, and 6 coordinates share the hidden size.
    "lilt": {"hidden_size": 48},
    "longcat_flash": {"expert_ffn_hidden_size": 2 * HIDDEN_SIZE, "zero_expert_num": 2},
    "mamba2": {"num_heads": 8, "head_dim": HEAD_DIM, "n_groups": 2, "state_size": HEAD_DIM},
    "ministral": {"head_dim": HEAD_DIM},
    "mistral4": {"head_dim": 2 * HEAD_DIM},
    # The masked LM head has hidden_size - embedding_size extra channels.
    "mobilebert": {"hidden_size": 2 * HIDDEN_SIZE},
    "nemotron": {"head_dim": HEAD_DIM, "num_key_value_heads": 2},
    "neomme": {"head_dim": 2 * HEAD_DIM},
    "nystromformer": {"num_landmarks": 16, "segment_means_seq_len": 16},
    "qwen4_exp_text": {
        "hc_lowrank": HEAD_DIM,
        "ngram_vocab_size_base": VOCAB_SIZE,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": HEAD_DIM,
        "indexer_budget": 64,
        "indexer_compress_ratio": 4,
    },
    # Two recurrent layers, and one that attends.
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_shape": [8, 16], "axial_pos_embds_dim": [8, 24], "hash_seed": 0},
    "rwkv": {"attention_hidden_size": HIDDEN_SIZE},
    "t5": _T5,
    "mt5": _T5,
    "umt5": _T5,
    # Weights are shared between hybrid layers, so there must be two.
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
    # Heads' widths are rounded up to it in one place only.
    "xlstm": {"mlstm_round_up_to_multiple_of": HEAD_DIM},
    "xmod": {"default_language": "en_XX"},
}
