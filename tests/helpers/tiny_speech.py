"""Tiny random models that listen, as checkpoints with feature extractor and tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from headway.benchmarks.tiny_checkpoints import spread_weights
from headway.export import export

NUM_LABELS = 4
_CONVOLUTIONS = {
    "conv_dim": [16] * 3,
    "conv_kernel": [10, 3, 3],
    "conv_stride": [8, 5, 4],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAOINSHRDLU'"]
_WHISPER_WORDS = 300
_SOURCE_POSITIONS = 100


@dataclass(frozen=True)
class SpeechModel:
    """A checkpoint, its artifact, and transformers' own parts."""

    checkpoint: Path
    artifact: Path
    model: Any
    feature_extractor: Any
    tokenizer: Any


def build_speech_model(name: str, folder: Path) -> SpeechModel:
    """Write the checkpoint ``name`` of :data:`SPEECH_MODELS` and export it."""
    torch.manual_seed(0)
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    model, feature_extractor, tokenizer = SPEECH_MODELS[name](checkpoint)
    model.save_pretrained(checkpoint)
    feature_extractor.save_pretrained(checkpoint)
    if tokenizer is not None:
        tokenizer.save_pretrained(checkpoint)
    export(checkpoint, folder / "artifact", progress=False)
    return SpeechModel(checkpoint, folder / "artifact", model, feature_extractor, tokenizer)


def _spread(model: Any) -> Any:
    spread_weights(model)
    return model.eval()


def _letters(folder: Path) -> Any:
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(_LETTERS)}))
    return transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))


def _ctc(folder: Path) -> tuple[Any, Any, Any]:
    config = transformers.Wav2Vec2Config(
        **_SIZES,
        **_CONVOLUTIONS,
        vocab_size=len(_LETTERS),
        pad_token_id=0,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    model = _spread(transformers.Wav2Vec2ForCTC(config))
    return model, transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True), _letters(folder)


def _hubert(folder: Path) -> tuple[Any, Any, Any]:
    config = transformers.HubertConfig(**_SIZES, **_CONVOLUTIONS, num_labels=NUM_LABELS, classifier_proj_size=16)
    return _spread(transformers.HubertForSequenceClassification(config)), transformers.Wav2Vec2FeatureExtractor(), None


def _ast(folder: Path) -> tuple[Any, Any, Any]:
    sizes = {"max_length": 100, "num_mel_bins": 32}
    config = transformers.ASTConfig(**_SIZES, **sizes, num_labels=NUM_LABELS, problem_type="multi_label_classification")
    return _spread(transformers.ASTForAudioClassification(config)), transformers.ASTFeatureExtractor(**sizes), None


def _speech_to_text(folder: Path) -> tuple[Any, Any, Any]:
    """wav2vec2 beside a BERT that attends to it."""
    encoder = transformers.Wav2Vec2Config(**_SIZES, **_CONVOLUTIONS, feat_extract_norm="layer")
    decoder = transformers.BertConfig(
        **{**_SIZES, "hidden_size": 24}, vocab_size=64, is_decoder=True, add_cross_attention=True
    )
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = _spread(transformers.SpeechEncoderDecoderModel(config=config))
    for settings in (model.config, model.generation_config):
        settings.decoder_start_token_id, settings.pad_token_id, settings.eos_token_id = 2, 0, 3
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, **{f"w{index}": index for index in range(4, 64)}}
    rust = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=rust, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )
    return model, transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True), tokenizer


def whisper_tokenizer() -> tuple[Any, dict[str, int]]:
    """A vocabulary of bytes and made-up words with Whisper's special tokens, and the ids of these."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(first, second) for first in "Ġabc" for second in "defgh"]
    pieces = [*alphabet, *("".join(pair) for pair in merges)]
    pieces += [f"Ġx{index}" for index in range(_WHISPER_WORDS - len(pieces))]
    special = [
        *("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|fr|>", "<|de|>", "<|translate|>", "<|transcribe|>"),
        *("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
    ]
    rust = Tokenizer(models.BPE({piece: index for index, piece in enumerate(pieces)}, merges))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    tokenizer = transformers.WhisperTokenizer(tokenizer_object=rust)
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    tokenizer.add_tokens([f"<|{index * 0.02:.2f}|>" for index in range(_SOURCE_POSITIONS + 1)])
    return tokenizer, {token: tokenizer.convert_tokens_to_ids(token) for token in special}


def _whisper(folder: Path) -> tuple[Any, Any, Any]:
    tokenizer, ids = whisper_tokenizer()
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=_SOURCE_POSITIONS,
        max_target_positions=48,
        pad_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=ids["<|endoftext|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"],
        begin_suppress_tokens=None,
    )
    model = _spread(transformers.WhisperForConditionalGeneration(config))
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=ids["<|startoftranscript|>"],
        eos_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"],
        max_length=40,
        suppress_tokens=[1, 2, ids["<|startofprev|>"], ids["<|nospeech|>"]],
        begin_suppress_tokens=[3, ids["<|endoftext|>"]],
        is_multilingual=True,
        lang_to_id={token: ids[token] for token in ("<|en|>", "<|fr|>", "<|de|>")},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        max_initial_timestamp_index=20,
        alignment_heads=[[0, 1], [1, 0], [1, 3]],
        return_timestamps=False,
    )
    return model, transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=2), tokenizer


SPEECH_MODELS: Mapping[str, Callable[[Path], tuple[Any, Any, Any]]] = {
    "ast": _ast,
    "ctc": _ctc,
    "hubert": _hubert,
    "speech-encoder-decoder": _speech_to_text,
    "whisper": _whisper,
}
