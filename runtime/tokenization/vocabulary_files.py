"""Folders without a tokenizer.json: a vocabulary in the form that the original tokenizers wrote it.

What goes around the vocabulary (splitting, special tokens) is its class's, as for any tokenizer.json. Source: the
``__init__`` methods of transformers 5.23's BertTokenizer, GPT2Tokenizer, RobertaTokenizer and CLIPTokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CorruptArtifactError
from .classes import defaults_of
from .model_types import GENERIC_CLASS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORD_PIECES_FILE, BYTE_PAIRS_FILE, MERGES_FILE = "vocab.txt", "vocab.json", "merges.txt"


def vocabulary_file(folder: Path) -> Path | None:
    """The file that such a folder's tokenizer is made of; None where there is none that can be."""
    if (folder / WORD_PIECES_FILE).is_file():
        return folder / WORD_PIECES_FILE
    has_merges = (folder / BYTE_PAIRS_FILE).is_file() and (folder / MERGES_FILE).is_file()
    return folder / BYTE_PAIRS_FILE if has_merges else None


def class_of_vocabulary(file: Path, class_name: str) -> str:
    """The class that a vocabulary is read with: the folder's own, or where it names none, the one such files are of."""
    if file.name == WORD_PIECES_FILE and class_name == GENERIC_CLASS:
        return "BertTokenizer"
    return class_name


def read_vocabulary(file: Path, class_name: str) -> Tokenizer:
    """A tokenizer of the vocabulary alone.

    Args:
        file: what :func:`vocabulary_file` found.
        class_name: the transformers class that it belongs to.

    Raises:
        CorruptArtifactError: the files hold something else, or belong to a class that is not known here.
    """
    from tokenizers import Tokenizer

    classes = _CLASSES[file.name]
    if class_name not in classes:
        raise CorruptArtifactError(
            f"{file.parent} has no tokenizer.json, and its {file.name} is of a {class_name}; those of "
            f"{', '.join(classes)} are read as they are. Save the tokenizer with transformers 5, which writes one."
        )
    try:
        return Tokenizer(classes[class_name](file, defaults_of(class_name).special_tokens.get("unk_token")))
    except Exception as error:
        raise CorruptArtifactError(f"{file} is no vocabulary ({error}). Fetch or export it again.") from error


def _word_pieces(file: Path, unknown: str | None) -> Any:
    from tokenizers.models import WordPiece

    words = file.read_text(encoding="utf-8").split("\n")
    vocabulary = {word.rstrip("\r"): index for index, word in enumerate(words) if word or index + 1 < len(words)}
    if (unknown or "[UNK]") not in vocabulary:
        raise ValueError(f"none of its {len(vocabulary)} lines is {unknown or '[UNK]'}")
    return WordPiece(vocabulary, unk_token=unknown or "[UNK]")


def _byte_pairs(file: Path, unknown: str | None, word_end: str = "") -> Any:
    from tokenizers.models import BPE

    vocabulary = json.loads(file.read_text(encoding="utf-8"))
    lines = (file.parent / MERGES_FILE).read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#version"))
    merges = [(left, right) for left, _, right in pairs]
    return BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix=word_end, fuse_unk=False)


_WORD_PIECE_CLASSES = (
    "BertTokenizer",
    "ConvBertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "FunnelTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MPNetTokenizer",
    "MobileBertTokenizer",
    "SqueezeBertTokenizer",
)
_BYTE_PAIR_CLASSES = ("BartTokenizer", "GPT2Tokenizer", "LEDTokenizer", "LongformerTokenizer", "RobertaTokenizer")

# File → class → what builds the vocabulary's model.
_CLASSES: Mapping[str, Mapping[str, Callable[[Path, str | None], Any]]] = {
    WORD_PIECES_FILE: dict.fromkeys(_WORD_PIECE_CLASSES, _word_pieces),
    BYTE_PAIRS_FILE: {
        **dict.fromkeys(_BYTE_PAIR_CLASSES, _byte_pairs),
        "CLIPTokenizer": partial(_byte_pairs, word_end="</w>"),
    },
}
