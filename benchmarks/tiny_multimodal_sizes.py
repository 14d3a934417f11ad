"""How small the models become that read texts among other things: parts that agree on widths, ids and positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tiny_sizes import HEAD_DIM, HIDDEN_SIZE, VOCAB_SIZE

_CHANNELS = 32
_NUM_IMAGE_TOKENS = 16


def _rope(*sections: int) -> dict[str, Any]:
    """Rotary positions along time, height and width, whose sections make half the head's width, all of which turns."""
    values = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}
    return {"rope_parameters": {**values, "mrope_section": list(sections)}}


_SECTIONS = _rope(2, 1, 1)
_TIME_HEIGHT_WIDTH = (
    "cosmos3_edge_text",
    "glm4v_moe_text",
    "glm4v_text",
    "glm_image_text",
    "glm_ocr_text",
    "paddleocr_vl_text",
    "qwen2_5_omni_text",
    "qwen2_5_vl_text",
    "qwen2_vl_text",
)
_VISION_START = {"vision_start_token_id": VOCAB_SIZE - 12}
_VQ = {
    "base_channels": _CHANNELS,
    "channel_multiplier": [1, 1],
    "num_res_blocks": 1,
    "codebook_size": _NUM_IMAGE_TOKENS,
    "num_embeddings": _NUM_IMAGE_TOKENS,
    "resolution": 32,
}


_FIRST_IMAGE_TOKEN = VOCAB_SIZE - _NUM_IMAGE_TOKENS
# A letter stands for each digit.
_CHAMELEON_TOKENS: dict[str, int] = {
    "IMGIMG" + "".join(chr(ord("A") + int(digit)) for digit in str(index)) + "Z": _FIRST_IMAGE_TOKEN + index
    for index in range(_NUM_IMAGE_TOKENS)
}
_EMU3_TOKENS = {f"<|visual token {index:06d}|>": _FIRST_IMAGE_TOKEN + index for index in range(_NUM_IMAGE_TOKENS)}

# Model type → constructor arguments, beside what is shrunk by name.
MULTIMODAL_EXCEPTIONS: dict[str, Mapping[str, Any]] = {
    "blt": {"encoder_hash_byte_group_vocab": 64, "encoder_hash_byte_group_size": [3, 4]},
    # The image tower has a head for each 64 channels.
    "bridgetower": {"vision_config": {"hidden_size": 64}},
    "chameleon": {
        "vq_config": _VQ,
        "vocabulary_map": {"<image>": _FIRST_IMAGE_TOKEN - 1, **_CHAMELEON_TOKENS},
    },
    "deepseek_ocr2_text": {"num_experts_per_tok": 2},
    "diffusion_gemma_text": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 2 * HIDDEN_SIZE},
    "emu3": {
        "vq_config": _VQ,
        "vocabulary_map": {"<image>": _FIRST_IMAGE_TOKEN - 1, "<|extra_200|>": _FIRST_IMAGE_TOKEN - 2, **_EMU3_TOKENS},
    },
    "ernie4_5_vl_moe_text": _rope(1, 1, 2),
    # Its adaptor's feed-forward layers have a quarter of the text's width.
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": HIDDEN_SIZE // 4}},
    "granite4_vision": {
        "downsample_rate": "1/2",
        "deepstack_layer_map": [[-1, 0]],
        "spatial_target_layers": [1],
    },
    "hunyuan_vl_text": {"head_dim": HEAD_DIM, **_rope(1, 1, 1, 1)},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    # A stage for each entry.
    "muse_spark_audio": {
        "num_hidden_layers": 4,
        "hidden_sizes": [16, 16, 32, 32],
        "depths": [1, 1, 1, 1],
    },
    # Its checkpoints have it; the default configuration does not.
    "qwen2_5_omni_thinker": _VISION_START,
    "qwen3_omni_moe_thinker": _VISION_START,
    "step3p5": {"sliding_window": 8},
    # An encoder-decoder gives it to its encoder.
    "t5gemma2_text": {"dropout_rate": 0.0},
    **dict.fromkeys(_TIME_HEIGHT_WIDTH, _SECTIONS),
}
