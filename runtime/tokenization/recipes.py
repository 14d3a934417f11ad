"""How transformers' tokenizer classes build the Rust tokenizer around a vocabulary.

transformers 5 takes only the vocabulary (and mostly the post-processor) from a tokenizer.json when a folder names one
of these classes, and builds the rest anew from tokenizer_config.json. A folder that Headway wrote holds the result
already; for folders written by others the recipes below give it.

Source: ``__init__`` of the classes in models/*/tokenization_*.py of transformers 5.23.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .parts import (
    QWEN2_SPLIT,
    QWEN3_5_SPLIT,
    Source,
    bert_normalizer,
    bert_splitting,
    big_bird_normalizer,
    byte_decoder,
    byte_fallback_decoder,
    byte_splitting,
    charsmap_and_spaces_normalizer,
    charsmap_normalizer,
    clip_normalizer,
    clip_splitting,
    cohere_splitting,
    deberta_v2_splitting,
    gemma_normalizer,
    gemma_splitting,
    llama_decoder,
    llama_splitting,
    marked_decoder,
    marked_splitting,
    nfc_normalizer,
    no_part,
    pattern_splitting,
    pegasus_normalizer,
    quoting_normalizer,
    tidy_normalizer,
    wordpiece_decoder,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Part = Callable[[Source], Any]


@dataclass(frozen=True)
class Recipe:
    """The parts of one class.

    Args:
        normalizer: builds it, or gives None for none.
        pre_tokenizer: builds it.
        decoder: builds it.
        model_options: attributes of the vocabulary model that the class fixes.
    """

    normalizer: Part
    pre_tokenizer: Part
    decoder: Part
    model_options: dict[str, Any] = field(default_factory=dict)


def rebuild(rust: Tokenizer, class_name: str | None, config: dict[str, Any]) -> None:
    """Give the Rust tokenizer the parts that the class builds; a class without a recipe keeps what it has."""
    recipe = RECIPES.get(class_name or "")
    if recipe is None:
        return
    source = Source(config, _charsmap(rust.normalizer))
    rust.normalizer = recipe.normalizer(source)
    rust.pre_tokenizer = recipe.pre_tokenizer(source)
    rust.decoder = recipe.decoder(source)
    for name, value in recipe.model_options.items():
        setattr(rust.model, name, value)
    # Added tokens are matched against normalized text: add them anew under the new normalizer.
    rust.add_tokens(list(rust.get_added_tokens_decoder().values()))


def _charsmap(normalizer: Any) -> bytes | None:
    if normalizer is None:
        return None
    state = json.loads(normalizer.__getstate__())
    parts = state["normalizers"] if state["type"] == "Sequence" else [state]
    for part in parts:
        if part["type"] == "Precompiled":
            return base64.b64decode(part["precompiled_charsmap"])
    return None


_WORD_PIECES = Recipe(bert_normalizer, bert_splitting, wordpiece_decoder)
# DPR's classes take do_lower_case and do not pass it on.
_LOWERED_WORD_PIECES = Recipe(partial(bert_normalizer, lower_case=True), bert_splitting, wordpiece_decoder)
_BYTES = Recipe(no_part, byte_splitting, byte_decoder)
_BYTES_WITH_SPACE = Recipe(no_part, partial(byte_splitting, prefix_space=True), byte_decoder)
_ON_SPACES = partial(marked_splitting, on_spaces=True)
_NOT_ON_SPACES = partial(marked_splitting, on_spaces=False)
_ALWAYS_ON_SPACES = partial(marked_splitting, on_spaces=True, otherwise=None)
_ALWAYS_NOT_ON_SPACES = partial(marked_splitting, on_spaces=False, otherwise=None)
_ALWAYS_DECODER = partial(marked_decoder, otherwise=None)
_SENTENCE_PIECE = Recipe(charsmap_normalizer, _ON_SPACES, marked_decoder)
_ALBERT = Recipe(partial(quoting_normalizer, lower_case=True, keep_accents=False), _ON_SPACES, marked_decoder)
_FALLBACK_MODEL = {"fuse_unk": True, "byte_fallback": True}

RECIPES: dict[str, Recipe] = {
    "AlbertTokenizer": _ALBERT,
    "BarthezTokenizer": Recipe(partial(tidy_normalizer, can_lower_case=False), _NOT_ON_SPACES, marked_decoder),
    "BartTokenizer": _BYTES,
    "BertTokenizer": _WORD_PIECES,
    "BigBirdTokenizer": Recipe(big_bird_normalizer, _NOT_ON_SPACES, marked_decoder),
    "BlenderbotTokenizer": _BYTES_WITH_SPACE,
    "CLIPTokenizer": Recipe(clip_normalizer, clip_splitting, byte_decoder),
    "CamembertTokenizer": _SENTENCE_PIECE,
    "CodeGenTokenizer": _BYTES,
    "CodeLlamaTokenizer": Recipe(
        no_part,
        partial(llama_splitting, legacy_matters=False),
        partial(byte_fallback_decoder, strip=True),
        _FALLBACK_MODEL,
    ),
    "CohereTokenizer": Recipe(nfc_normalizer, cohere_splitting, byte_decoder),
    "DPRContextEncoderTokenizer": _LOWERED_WORD_PIECES,
    "DPRQuestionEncoderTokenizer": _LOWERED_WORD_PIECES,
    "DPRReaderTokenizer": _LOWERED_WORD_PIECES,
    "DebertaTokenizer": _BYTES,
    "DebertaV2Tokenizer": Recipe(
        partial(tidy_normalizer, can_lower_case=True), deberta_v2_splitting, partial(marked_decoder, otherwise="first")
    ),
    "DistilBertTokenizer": _WORD_PIECES,
    "ElectraTokenizer": _WORD_PIECES,
    "FunnelTokenizer": _WORD_PIECES,
    "GPT2Tokenizer": _BYTES,
    "GPTNeoXTokenizer": Recipe(nfc_normalizer, byte_splitting, byte_decoder),
    "GemmaTokenizer": Recipe(
        gemma_normalizer, gemma_splitting, partial(byte_fallback_decoder, strip=False), _FALLBACK_MODEL
    ),
    "LEDTokenizer": _BYTES,
    "LayoutLMTokenizer": _WORD_PIECES,
    "LlamaTokenizer": Recipe(
        no_part, partial(llama_splitting, legacy_matters=True), llama_decoder, {**_FALLBACK_MODEL, "unk_token": None}
    ),
    "LongformerTokenizer": _BYTES,
    "LxmertTokenizer": _WORD_PIECES,
    "MBart50Tokenizer": Recipe(
        partial(charsmap_and_spaces_normalizer, without_charsmap=True), _ALWAYS_NOT_ON_SPACES, _ALWAYS_DECODER
    ),
    "MBartTokenizer": Recipe(no_part, _ALWAYS_ON_SPACES, _ALWAYS_DECODER),
    "MPNetTokenizer": _WORD_PIECES,
    "MobileBertTokenizer": _WORD_PIECES,
    "MvpTokenizer": _BYTES,
    "NllbTokenizer": Recipe(
        partial(charsmap_and_spaces_normalizer, without_charsmap=False), _ALWAYS_NOT_ON_SPACES, _ALWAYS_DECODER
    ),
    "PegasusTokenizer": Recipe(pegasus_normalizer, _ALWAYS_NOT_ON_SPACES, _ALWAYS_DECODER),
    "Qwen2Tokenizer": Recipe(nfc_normalizer, partial(pattern_splitting, pattern=QWEN2_SPLIT), byte_decoder),
    "Qwen3_5Tokenizer": Recipe(nfc_normalizer, partial(pattern_splitting, pattern=QWEN3_5_SPLIT), byte_decoder),
    "RemBertTokenizer": Recipe(
        partial(quoting_normalizer, lower_case=False, keep_accents=True, one_space=True), _NOT_ON_SPACES, marked_decoder
    ),
    "RobertaTokenizer": _BYTES,
    "Siglip2Tokenizer": Recipe(
        partial(gemma_normalizer, lower_case=True),
        gemma_splitting,
        partial(byte_fallback_decoder, strip=False),
        _FALLBACK_MODEL,
    ),
    "SplinterTokenizer": _WORD_PIECES,
    "SqueezeBertTokenizer": _WORD_PIECES,
    "T5Tokenizer": Recipe(charsmap_normalizer, _ALWAYS_ON_SPACES, _ALWAYS_DECODER),
    "WhisperTokenizer": _BYTES,
    "XGLMTokenizer": Recipe(
        partial(charsmap_and_spaces_normalizer, without_charsmap=True), _NOT_ON_SPACES, marked_decoder
    ),
    "XLMRobertaTokenizer": _SENTENCE_PIECE,
    "XLNetTokenizer": Recipe(
        partial(quoting_normalizer, lower_case=False, keep_accents=None), _ALWAYS_ON_SPACES, _ALWAYS_DECODER
    ),
}
