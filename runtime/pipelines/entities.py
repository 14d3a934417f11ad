"""Token scores to entities: gather tokens, agree on words, merge neighbours of one kind.

Source of the behaviour: ``TokenClassificationPipeline`` of transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tokenization.tokenizer import Tokenizer

Entity = dict[str, Any]
FloatArray = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text with its scores.

    Args:
        word: the token's text; the text itself for an unknown token.
        scores: (labels,) float.
        start: first character in the text.
        end: character after the last one.
        index: number of the token in its row, special tokens counted.
        is_subword: whether it continues the word before.
    """

    word: str
    scores: FloatArray
    start: int
    end: int
    index: int
    is_subword: bool


@dataclass(frozen=True, slots=True)
class Tagged:
    """A token or word with its label."""

    label: str
    score: float
    word: str
    start: int
    end: int


class EntityFinder:
    """Finds entities in token scores.

    Args:
        tokenizer: tells the text of tokens, and whether a token continues a word.
        labels: class index → label.
    """

    def __init__(self, tokenizer: Tokenizer, labels: Mapping[int, str]) -> None:
        self._tokenizer = tokenizer
        self._labels = labels
        model = tokenizer.backend_tokenizer.model
        self.knows_words = bool(getattr(model, "continuing_subword_prefix", None))
        """Whether the tokenizer marks the pieces of a word; without, words are told by spaces."""

    def tokens(
        self,
        text: str,
        ids: Sequence[int],
        scores: FloatArray,
        spans: Sequence[tuple[int, int]],
        special: Sequence[int],
    ) -> list[Token]:
        """The tokens of a row that are not special.

        Args:
            text: the text that ``spans`` refer to.
            ids: (length,) token ids.
            scores: (length, labels) float.
            spans: first and last character (exclusive) of each token.
            special: (length,) 1 for special tokens.
        """
        words = [str(word) for word in self._tokenizer.convert_ids_to_tokens(list(ids))]
        unknown = self._tokenizer.unk_token_id
        found = []
        for index, (word, token_id, (start, end)) in enumerate(zip(words, ids, spans, strict=True)):
            if special[index]:
                continue
            is_subword = token_id != unknown and self._continues_word(text, word, start, end)
            word = text[start:end] if token_id == unknown else word
            found.append(Token(word, scores[index], start, end, index, is_subword))
        return found

    def find(self, tokens: Sequence[Token], strategy: str, ignored: Sequence[str]) -> list[Entity]:
        """Entities of one row, without those whose label is ignored."""
        if strategy == "none":
            return self._token_entities(tokens, ignored)
        words = STRATEGIES[strategy](self, tokens)
        groups = (self._merged(group) for group in _neighbours(words))
        return [group for group in groups if group["entity_group"] not in ignored]

    def each_token(self, tokens: Sequence[Token]) -> list[Tagged]:
        """Every token with its best label."""
        return [self._tagged(token.scores, token.word, token.start, token.end) for token in tokens]

    def first_of_word(self, tokens: Sequence[Token]) -> list[Tagged]:
        """Every word with the best label of its first token."""
        return [self._word(group, group[0].scores) for group in _words(tokens)]

    def best_of_word(self, tokens: Sequence[Token]) -> list[Tagged]:
        """Every word with the label of its most certain token."""
        return [
            self._word(group, max(group, key=lambda token: float(token.scores.max())).scores)
            for group in _words(tokens)
        ]

    def mean_of_word(self, tokens: Sequence[Token]) -> list[Tagged]:
        """Every word with the best label of its tokens' mean scores."""
        return [
            self._word(group, np.nanmean(np.stack([token.scores for token in group]), axis=0))
            for group in _words(tokens)
        ]

    def _continues_word(self, text: str, word: str, start: int, end: int) -> bool:
        if self.knows_words:
            return len(word) != end - start
        return start > 0 and " " not in text[start - 1 : start + 1]

    def _token_entities(self, tokens: Sequence[Token], ignored: Sequence[str]) -> list[Entity]:
        if not tokens:
            return []
        best = np.stack([token.scores for token in tokens]).argmax(axis=-1).tolist()
        return [
            {
                "entity": self._labels[label],
                "score": float(token.scores[label]),
                "index": token.index,
                "word": token.word,
                "start": token.start,
                "end": token.end,
            }
            for token, label in zip(tokens, best, strict=True)
            if self._labels[label] not in ignored
        ]

    def _word(self, tokens: Sequence[Token], scores: FloatArray) -> Tagged:
        text = self._tokenizer.convert_tokens_to_string([token.word for token in tokens])
        return self._tagged(scores, text, tokens[0].start, tokens[-1].end)

    def _tagged(self, scores: FloatArray, word: str, start: int, end: int) -> Tagged:
        label = int(scores.argmax())
        return Tagged(self._labels[label], float(scores[label]), word, start, end)

    def _merged(self, group: Sequence[Tagged]) -> Entity:
        return {
            "entity_group": group[0].label.split("-", 1)[-1],
            "score": float(np.nanmean(np.array([entity.score for entity in group], dtype=np.float32))),
            "word": self._tokenizer.convert_tokens_to_string([entity.word for entity in group]),
            "start": group[0].start,
            "end": group[-1].end,
        }


STRATEGIES: Mapping[str, Callable[[EntityFinder, Sequence[Token]], list[Tagged]]] = {
    "simple": EntityFinder.each_token,
    "first": EntityFinder.first_of_word,
    "average": EntityFinder.mean_of_word,
    "max": EntityFinder.best_of_word,
}
"""Aggregation strategy → what gives each token or word its label; ``"none"`` does not aggregate."""


def without_overlaps(entities: Sequence[Entity]) -> list[Entity]:
    """Entities found in overlapping pieces of a text: of two that overlap the longer stays, or the more certain."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda entity: int(entity["start"])):
        if not kept or not kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            kept.append(entity)
        elif _rank(entity) > _rank(kept[-1]):
            kept[-1] = entity
    return kept


def _rank(entity: Entity) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _words(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Tokens grouped into words."""
    group: list[Token] = []
    for token in tokens:
        if group and not token.is_subword:
            yield group
            group = []
        group.append(token)
    if group:
        yield group


def _neighbours(entities: Sequence[Tagged]) -> Iterator[list[Tagged]]:
    """Adjacent entities of one kind; a ``B-`` label starts a new group."""
    group: list[Tagged] = []
    for entity in entities:
        if group and (entity.label.startswith("B-") or _kind(entity.label) != _kind(group[-1].label)):
            yield group
            group = []
        group.append(entity)
    if group:
        yield group


def _kind(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label
