"""Tokenizers that transformers runs in Python only, converted, against their Python selves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tiny_tokenizers
import transformers
from tiny_tokenizers import CORPUS

from headway.export.tokenizer import save_tokenizer
from headway.runtime import AutoTokenizer
from headway.runtime.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses", "ignore::DeprecationWarning")

TEXTS = [
    *CORPUS[:8],
    "HELLO WORLD, MKTAYIAK QRQ xx",
    "  spaces   between  and after ",
    "",
    " ",
    "line\nbreak\tand tab",
]


def train(folder: Path, kind: str, vocab_size: int) -> str:
    """Path of a new SentencePiece model."""
    corpus, prefix = folder / "corpus.txt", folder / f"{kind}{vocab_size}"
    corpus.write_text("\n".join(CORPUS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(prefix),
        vocab_size=vocab_size,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return f"{prefix}.model"


def write_vocabulary(path: Path, tokens: list[str]) -> str:
    path.write_text(json.dumps({token: index for index, token in enumerate(dict.fromkeys(tokens))}))
    return str(path)


def pieces(model: str) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(model)
    listed = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    return [piece for piece in listed if piece not in ("<unk>", "<s>", "</s>")]


def marian(folder: Path, kind: str, *, drop: int = 0) -> Any:
    source, target = train(folder, kind, 300), train(folder, kind, 260)
    tokens = ["</s>", "<unk>", *pieces(source)[drop:], *pieces(target)[drop:], ">>fr<<", "<pad>"]
    vocab = write_vocabulary(folder / "vocab.json", tokens)
    return transformers.MarianTokenizer(source_spm=source, target_spm=target, vocab=vocab)


def m2m_100(folder: Path, kind: str) -> Any:
    model = train(folder, kind, 300)
    vocab = write_vocabulary(folder / "vocab.json", ["<s>", "<pad>", "</s>", "<unk>", *pieces(model)])
    return transformers.M2M100Tokenizer(vocab_file=vocab, spm_file=model)


def prophet_net(folder: Path) -> Any:
    special = ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "[X_SEP]")
    vocab = tiny_tokenizers.word_pieces(special)["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(vocab, key=vocab.__getitem__)))
    return transformers.ProphetNetTokenizer(str(folder / "vocab.txt"))


def esm(folder: Path) -> Any:
    letters = [*"LAGVSERTIDPKQNFYMHWCXBUZO.-"]
    (folder / "vocab.txt").write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", *letters, "<null_1>", "<mask>"]))
    return transformers.EsmTokenizer(str(folder / "vocab.txt"))


def wav2vec2(folder: Path) -> Any:
    letters = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    vocab = write_vocabulary(folder / "vocab.json", ["<pad>", "<s>", "</s>", "<unk>", "|", *letters])
    return transformers.Wav2Vec2CTCTokenizer(vocab)


BUILDERS: dict[str, Callable[[Path], Any]] = {
    "marian unigram": lambda folder: marian(folder, "unigram"),
    "marian bpe": lambda folder: marian(folder, "bpe"),
    "m2m_100 bpe": lambda folder: m2m_100(folder, "bpe"),
    "m2m_100 unigram": lambda folder: m2m_100(folder, "unigram"),
    "bert generation": lambda folder: transformers.BertGenerationTokenizer(train(folder, "unigram", 310)),
    "plbart": lambda folder: transformers.PLBartTokenizer(train(folder, "bpe", 340)),
    "prophetnet": prophet_net,
    "byt5": lambda folder: transformers.ByT5Tokenizer(),
    "perceiver": lambda folder: transformers.PerceiverTokenizer(),
    "esm": esm,
    "wav2vec2": wav2vec2,
}


@pytest.mark.parametrize("name", BUILDERS)
def test_converted(name: str, tmp_path: Path) -> None:
    expected = BUILDERS[name](tmp_path)
    (tmp_path / "out").mkdir()
    save_tokenizer(expected, tmp_path / "out")
    actual = AutoTokenizer.from_pretrained(tmp_path / "out")
    for setting in ("model_input_names", "padding_side", "model_max_length", "special_tokens_map", "all_special_ids"):
        assert getattr(actual, setting) == getattr(expected, setting), setting
    for text in TEXTS:
        assert dict(actual(text)) == dict(expected(text))
        assert actual([text], [text])["input_ids"] == expected([text], [text])["input_ids"]
        ids = expected(text)["input_ids"]
        assert actual.decode(ids, skip_special_tokens=True) == expected.decode(ids, skip_special_tokens=True)
    assert actual(TEXTS, padding=True)["input_ids"] == expected(TEXTS, padding=True)["input_ids"]


def test_marian_language_codes(tmp_path: Path) -> None:
    expected = marian(tmp_path, "unigram")
    save_tokenizer(expected, tmp_path)
    actual = AutoTokenizer.from_pretrained(tmp_path)
    for text in (">>fr<< Hello world", ">>fr<<Hello"):
        assert actual(text)["input_ids"] == expected(text)["input_ids"]
    assert actual(">>fr<< a")["input_ids"][0] == expected.encoder[">>fr<<"]


def test_m2m_100_languages(tmp_path: Path) -> None:
    expected = m2m_100(tmp_path, "bpe")
    save_tokenizer(expected, tmp_path)
    actual = AutoTokenizer.from_pretrained(tmp_path)
    for tokenizer in (expected, actual):
        tokenizer.src_lang = "fr"
    assert actual("Hello")["input_ids"] == expected("Hello")["input_ids"]
    assert actual.get_lang_id("de") == expected.get_lang_id("de")


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"MarianTokenizer .* pieces of its SentencePiece model have no id"):
        save_tokenizer(marian(tmp_path, "unigram", drop=40), tmp_path)
    with pytest.raises(CheckpointError, match=r"SpeechT5Tokenizer .* neither unigram nor byte-pair"):
        save_tokenizer(transformers.SpeechT5Tokenizer(train(tmp_path, "char", 100)), tmp_path)
    with pytest.raises(CheckpointError, match=r"SiglipTokenizer could not be converted exactly"):
        save_tokenizer(transformers.SiglipTokenizer(train(tmp_path, "unigram", 320)), tmp_path)
