"""Tiny tokenizers of many transformers classes, trained in a moment on a few sentences; the same in every process."""

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
    """BERT's: pieces that begin a word, and the same within one.

    Trained as plain pairs: the trainers of pieces that are marked number their letters anew in every process.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=250, show_progress=False))
    pieces = sorted(tokenizer.get_vocab())
    tokens = [*special_tokens, *(piece for piece in pieces if piece not in special_tokens)]
    return {"vocab": {token: index for index, token in enumerate([*tokens, *(f"##{piece}" for piece in pieces)])}}


@lru_cache
def byte_pairs(special_tokens: tuple[str, ...]) -> dict[str, Any]:
    """Byte-level, as GPT-2's."""
    return _byte_pairs(special_tokens, [])


@lru_cache
def ended_byte_pairs(special_tokens: tuple[str, ...]) -> dict[str, Any]:
    """Byte-level with a mark at the end of a word, as CLIP's: each pair there is, also at the end."""
    plain = _byte_pairs((), [pre_tokenizers.WhitespaceSplit()])
    vocabulary = [*special_tokens, *plain["vocab"], *(f"{token}</w>" for token in plain["vocab"])]
    merges = [merge for left, right in plain["merges"] for merge in ((left, right), (left, f"{right}</w>"))]
    return {"vocab": {token: index for index, token in enumerate(vocabulary)}, "merges": merges}


def _byte_pairs(special_tokens: tuple[str, ...], splits: list[Any]) -> dict[str, Any]:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    steps = [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
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
    # Letters that are no piece of their own come in another order in every process, a ten-thousandth apart.
    entries = [(token, round(score, 1)) for token, score in _model(tokenizer)["vocab"]]
    pieces = sorted(entries[len(special_tokens) :], key=lambda entry: (-entry[1], entry[0]))
    return {"vocab": [*entries[: len(special_tokens)], *pieces]}


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
    **_kinds(ended_byte_pairs, ("<|startoftext|>", "<|endoftext|>"), "CLIPTokenizer"),
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
    vocabulary = {name: value.copy() for name, value in kind(special_tokens).items()}
    return getattr(transformers, class_name)(**vocabulary, **options)
