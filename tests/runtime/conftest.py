"""Tiny artifacts written by hand, shared by the tests of loading and running."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_graphs import tagger_model, write_artifact


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text classifier with a tokenizer; not to be changed."""
    return write_artifact(tmp_path_factory.mktemp("classifier") / "tiny classifier ünïcode")


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token classifier; not to be changed."""
    folder = tmp_path_factory.mktemp("tagger") / "tagger"
    return write_artifact(folder, tagger_model(), "token-classification", "BertForTokenClassification")


@pytest.fixture
def damaged(classifier: Path, tmp_path: Path) -> Path:
    """A copy of the classifier, to be broken."""
    return Path(shutil.copytree(classifier, tmp_path / "damaged"))


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file outside every artifact, which nothing may read."""
    path = tmp_path_factory.mktemp("outside") / "secret.bin"
    path.write_bytes(b"secret" * 100)
    yield path
    assert path.read_bytes() == b"secret" * 100


@pytest.fixture
def bert_folder(tmp_path: Path) -> Path:
    """A BERT tokenizer as transformers saves it, which tests may change."""
    from tiny_tokenizers import build

    build("BertTokenizer").save_pretrained(tmp_path)
    return tmp_path
