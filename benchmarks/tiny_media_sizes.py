"""How small the models become that take images and audio: stages and strides go together, so each has its own sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_IMAGE = {"image_size": 64}
_STAGES = {"hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 2, 1]}
_PYRAMID = {
    "hidden_sizes": [16, 32, 32, 64],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 2, 2, 4],
    "mlp_ratios": [2, 2, 2, 2],
}
_WINDOWS = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, **_IMAGE}
# Seven convolutions, 320 samples a frame, as in the real models.
_WAVEFORM = {
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
    "tdnn_dim": [32] * 5,
    "xvector_output_dim": 32,
    "codevector_dim": 16,
    "proj_codevector_dim": 16,
    "vocab_size": 32,
}
_SQUEEZED = {**_WAVEFORM, "conv_dim": [16] * 13, "squeeze_factor": 2}
# The projector reads windows of the encoder's frames, whose size is twice the hidden one.
_GRANITE_SPEECH = {
    "window_size": 15,
    "encoder_config": {"context_size": 16},
    "projector_config": {"encoder_hidden_size": 64},
}

# Model type → constructor arguments, beside what is shrunk by name.
MEDIA_EXCEPTIONS: Mapping[str, Mapping[str, Any]] = {
    # Both towers end in vectors of one size: the image tower's follows from its width.
    "align": {
        "projection_dim": 80,
        "vision_config": {"width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320, **_IMAGE},
    },
    "audio-spectrogram-transformer": {"max_length": 96, "num_mel_bins": 32},
    "bit": {**_STAGES, "embedding_size": 16, "num_groups": 4},
    "blip-2": {"qformer_config": {"use_qformer_text_input": True}},
    "convnext": {**_STAGES, **_IMAGE},
    "convnextv2": {**_STAGES, **_IMAGE},
    "cvt": {"embed_dim": [16, 32, 48], "num_heads": [1, 2, 3], "depth": [1, 2, 3]},
    "data2vec-audio": {**_WAVEFORM, "conv_pos_kernel_size": 7, "num_conv_pos_embeddings": 5},
    "donut-swin": _WINDOWS,
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320, **_IMAGE},
    "focalnet": {"embed_dim": 16, "hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 2, 1], **_IMAGE},
    # Its projector puts four positions in one.
    "glmasr": {"audio_config": {"intermediate_size": 128}},
    "granite_speech": _GRANITE_SPEECH,
    "granite_speech_plus": _GRANITE_SPEECH,
    "granite_speech5_ctc": {"encoder_config": {"num_key_value_heads": 4, "context_size": 16}},
    "hgnet_v2": {
        "embedding_size": 16,
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [16, 32, 48, 64],
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16, 32, 48],
        "stage_mid_channels": [8, 8, 16, 16],
        "stage_out_channels": [16, 32, 48, 64],
        "stage_num_blocks": [1, 1, 1, 1],
        "stage_numb_of_layers": [2, 2, 2, 2],
    },
    "hiera": {"embed_dim": 16, "image_size": [64, 64], "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 4]},
    "hubert": _WAVEFORM,
    "levit": {
        **_IMAGE,
        "patch_size": 16,
        "hidden_sizes": [32, 48, 64],
        "num_attention_heads": [2, 3, 4],
        "depths": [1, 1, 1],
        "key_dim": [8, 8, 8],
        "down_ops": [["Subsample", 8, 4, 4, 2, 2], ["Subsample", 8, 6, 4, 2, 2]],
    },
    "mobilenet_v1": {"depth_multiplier": 0.25, **_IMAGE},
    "mobilenet_v2": {"depth_multiplier": 0.25, **_IMAGE},
    "mobilevit": {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 24, 32, 32, 64], **_IMAGE},
    "mobilevitv2": {
        "width_multiplier": 0.25,
        "base_attn_unit_dims": [64, 64, 64],
        "n_attn_blocks": [1, 1, 1],
        **_IMAGE,
    },
    "poolformer": {"hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 2, 1]},
    "pvt": {**_PYRAMID, **_IMAGE},
    "pvt_v2": {**_PYRAMID, **_IMAGE},
    "regnet": {"embedding_size": 16, "hidden_sizes": [16, 32, 32, 64], "depths": [1, 2, 2, 1], "groups_width": 8},
    "resnet": {"embedding_size": 16, "hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 2, 1]},
    "segformer": _PYRAMID,
    "sew": _SQUEEZED,
    "sew-d": {**_SQUEEZED, "position_buckets": 16},
    "swiftformer": {"embed_dims": [16, 16, 32, 32], "depths": [1, 1, 1, 1], **_IMAGE},
    "swin": _WINDOWS,
    "swin2sr": {"embed_dim": 16, "depths": [2], "num_heads": [2], "window_size": 4, **_IMAGE},
    "swinv2": {**_WINDOWS, "pretrained_window_sizes": [0, 0]},
    "textnet": {"hidden_sizes": [16, 16, 32, 32, 64], "stem_out_channels": 16, "image_size": [64, 64]},
    "unispeech": _WAVEFORM,
    "unispeech-sat": _WAVEFORM,
    "voxtral": {"audio_token_id": 24, "audio_config": {"intermediate_size": 128}},
    "wav2vec2": _WAVEFORM,
    "wav2vec2-bert": {"vocab_size": 32, "num_conv_pos_embedding_groups": 4},
    "wav2vec2-conformer": {**_WAVEFORM, "vocab_size": 32},
    "wavlm": _WAVEFORM,
}
