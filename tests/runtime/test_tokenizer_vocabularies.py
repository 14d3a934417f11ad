"""Folders without a tokenizer.json: the same ids and texts as transformers makes of the vocabulary."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import ByteLevelBPETokenizer

from headway.runtime import AutoTokenizer
from headway.runtime.commands.inspection import _tokenizer
from headway.runtime.errors import ArtifactNotFoundError, CorruptArtifactError

TEXTS = ["I've been waiting for this!", "Ünïcode naïve 東京 ok", "a  b\tc\n<mask> [MASK]"]


def _require_same(folder: Path, reference: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        encoded = tokenizer(text, TEXTS[0])
        assert dict(encoded) == dict(reference(text, TEXTS[0]))
        assert tokenizer.decode(encoded["input_ids"]) == reference.decode(encoded["input_ids"])
    tokenizer.save_pretrained(folder / "saved")
    assert AutoTokenizer.from_pretrained(folder / "saved")(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


@pytest.mark.parametrize("settings", [{}, {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": False}])
def test_words_of_bert(settings: dict[str, Any], tmp_path: Path, minilm_checkpoint: Path) -> None:
    shutil.copy(minilm_checkpoint / "vocab.txt", tmp_path)
    if settings:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    words = (tmp_path / "vocab.txt").read_text().splitlines()
    name = settings.get("tokenizer_class", "BertTokenizer")
    options = {"do_lower_case": settings.get("do_lower_case", True)}
    vocabulary = {word: index for index, word in enumerate(words)}
    _require_same(tmp_path, getattr(transformers, name)(vocab=vocabulary, **options))
    facts = _tokenizer(tmp_path, [])
    assert facts is not None
    assert (facts["kind"], facts["vocab_size"]) == ("WordPiece", len(words))


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "RobertaTokenizer", "BartTokenizer"])
def test_byte_pairs(name: str, tmp_path: Path) -> None:
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
    trained.train_from_iterator(TEXTS * 3, vocab_size=320, special_tokens=special, show_progress=False)
    trained.save_model(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    _require_same(tmp_path, transformers.AutoTokenizer.from_pretrained(tmp_path))
    facts = _tokenizer(tmp_path, [])
    assert facts is not None
    assert facts["kind"] == "BPE"


def test_vocabularies_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ArtifactNotFoundError, match=r"has no tokenizer.json; it has vocab.json"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "merges.txt").write_text("a b\n")
    with pytest.raises(CorruptArtifactError, match=r"its vocab.json is of a TokenizersBackend; those of BartTokenizer"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    with pytest.raises(CorruptArtifactError, match=r"vocab.json is no vocabulary"):
        AutoTokenizer.from_pretrained(tmp_path)
