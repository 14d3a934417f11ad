"""Tiny tokenizers of many transformers classes, trained in a moment on a few sentences."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers, trainers

CORPUS = [
    "The quick brown fox jumps over the lazy dog. It wasn't there, was it?",
    "Hello world! How are you doing today, my friend?",
    "Déjà vu: naïve café façade — señor Åse's Straße.",
    "1234567890 3.14159 $100,000 (50%) a_b-c/d\\e",
    "日本語 テスト 한국어 中文 русский العربية עברית",
    "emoji 😀 👩‍👩‍👧‍👦 🇫🇷 ok",
    "def f(x):\n    return x ** 2  # comment\n\tif True: pass",
    "tokenization internationalization counterrevolutionary",
] * 20

_BERT = ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_ALBERT = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>")
_XLNET = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>")
_COHERE = ("<UNK>", "<PAD>", "<CLS>", "<SEP>", "<MASK_TOKEN>", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>")


def _model(tokenizer: tokenizers.Tokenizer) -> dict[str, Any]:
    return json.loads(tokenizer.to_str())["model"]


@lru_cache
def word_pieces(special_tokens: tuple[str, ...]) -> dict[str, Any]:
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token=special_tokens[0]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=list(special_tokens), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return {"vocab": tokenizer.get_vocab()}


@lru_cache
def byte_pairs(special_tokens: tuple[str, ...], word_end: str = "") -> dict[str, Any]:
    """Byte-level, as GPT-2's; with ``word_end`` as CLIP's."""
    ending = {"end_of_word_suffix": word_end} if word_end else {}
    tokenizer = tokenizers.Tokenizer(models.BPE(**ending))
    steps = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), *steps] if word_end else steps)
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        **ending,
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _vocab_and_merges(tokenizer)


@lru_cache
def fallback_byte_pairs(special_tokens: tuple[str, ...]) -> dict[str, Any]:
    """Characters with bytes to fall back on, as Llama's and Gemma's."""
    tokenizer = tokenizers.Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=[*special_tokens, *byte_tokens], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _vocab_and_merges(tokenizer)


@lru_cache
def unigrams(special_tokens: tuple[str, ...]) -> dict[str, Any]:
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    unknown = next(token for token in special_tokens if "unk" in token.lower())
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=list(special_tokens), unk_token=unknown, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return {"vocab": [tuple(entry) for entry in _model(tokenizer)["vocab"]]}


def _vocab_and_merges(tokenizer: tokenizers.Tokenizer) -> dict[str, Any]:
    model = _model(tokenizer)
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


def _kinds(kind: Callable[..., dict[str, Any]], special_tokens: tuple[str, ...], names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), (kind, special_tokens))


_CLASSES: dict[str, tuple[Callable[..., dict[str, Any]], tuple[str, ...]]] = {
    **_kinds(word_pieces, (*_BERT, "[QUESTION]", "."), "BertTokenizer DistilBertTokenizer ElectraTokenizer"),
    **_kinds(word_pieces, (*_BERT, "[QUESTION]", "."), "ConvBertTokenizer DPRQuestionEncoderTokenizer"),
    **_kinds(word_pieces, (*_BERT, "[QUESTION]", "."), "SplinterTokenizer MobileBertTokenizer"),
    **_kinds(word_pieces, _XLNET, "FunnelTokenizer"),
    **_kinds(word_pieces, ("[UNK]", "<s>", "<pad>", "</s>", "<mask>"), "MPNetTokenizer"),
    **_kinds(byte_pairs, _ROBERTA, "RobertaTokenizer BartTokenizer BlenderbotTokenizer"),
    **_kinds(byte_pairs, ("<|endoftext|>",), "GPT2Tokenizer Qwen2Tokenizer Qwen3_5Tokenizer CodeGenTokenizer"),
    **_kinds(byte_pairs, ("<|endoftext|>", "<|padding|>"), "GPTNeoXTokenizer"),
    **_kinds(byte_pairs, _COHERE, "CohereTokenizer"),
    **_kinds(byte_pairs, _BERT, "DebertaTokenizer"),
    **_kinds(byte_pairs, ("<|startoftext|>", "<|endoftext|>"), "CLIPTokenizer"),
    **_kinds(fallback_byte_pairs, ("<unk>", "<s>", "</s>"), "LlamaTokenizer CodeLlamaTokenizer"),
    **_kinds(fallback_byte_pairs, ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"), "GemmaTokenizer Siglip2Tokenizer"),
    **_kinds(fallback_byte_pairs, ("<s>", "<pad>", "</s>", "<unk>"), "NllbTokenizer"),
    **_kinds(unigrams, ("<pad>", "</s>", "<unk>"), "T5Tokenizer PegasusTokenizer"),
    **_kinds(unigrams, ("<s>", "<pad>", "</s>", "<unk>"), "XLMRobertaTokenizer CamembertTokenizer XGLMTokenizer"),
    **_kinds(unigrams, ("<s>", "<pad>", "</s>", "<unk>"), "MBartTokenizer MBart50Tokenizer BarthezTokenizer"),
    **_kinds(unigrams, _ALBERT, "AlbertTokenizer RemBertTokenizer FNetTokenizer BigBirdTokenizer"),
    **_kinds(unigrams, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), "DebertaV2Tokenizer"),
    **_kinds(unigrams, _XLNET, "XLNetTokenizer"),
}
CLASS_NAMES = sorted(_CLASSES)


def build(class_name: str, **options: Any) -> Any:
    """A new tokenizer of a transformers class."""
    kind, special_tokens = _CLASSES[class_name]
    word_end = {"word_end": "</w>"} if class_name == "CLIPTokenizer" else {}
    vocabulary = {name: value.copy() for name, value in kind(special_tokens, **word_end).items()}
    return getattr(transformers, class_name)(**vocabulary, **options)
