"""Texts with mask tokens to the tokens that fit there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import IntArray, Rows
from ..errors import InputError, OptionError
from ..models import Model
from ..numerics import softmax
from ..tokenization.tokenizer import Tokenizer
from .encode import CutLog, encode_rows
from .inputs import plain_texts, require_text
from .options import PipelineOptions, require_words
from .progress import Progress
from .text import TextPipeline
from .tokenizer_options import with_tokenizer_options
from .windows import Window

logger = logging.getLogger("headway")


@dataclass(frozen=True)
class FillMaskOptions(PipelineOptions):
    """Options of mask filling.

    Args:
        top_k: how many tokens to give for each mask.
        targets: the words to choose among; None takes the whole vocabulary.
        tokenizer_kwargs: ``truncation``, ``max_length`` and ``padding`` by another way, as in transformers.
    """

    top_k: int = 5
    targets: str | Sequence[str] | None = None
    tokenizer_kwargs: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, int) or self.top_k < 1:
            raise OptionError(f"top_k is {self.top_k!r}; it must be a whole number of at least 1.")
        if not isinstance(self.targets, str):
            require_words("targets", self.targets)


class FillMaskPipeline(TextPipeline[FillMaskOptions, Rows]):
    """Tokens for the masks of a text.

    A text with one mask gives a list of ``{"score", "token", "token_str", "sequence"}``, best first; with several
    masks, one such list for each; a list of texts gives a list of these, unless it holds one text. Source of the
    format: ``FillMaskPipeline`` of transformers 5.23.

    Raises:
        InputError: the tokenizer has no mask token.
    """

    model_task = "fill-mask"
    options_type = FillMaskOptions

    def __init__(self, model: Model, tokenizer: Tokenizer, task: str, options: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, task, options)
        if tokenizer.mask_token_id is None:
            raise InputError("The tokenizer has no mask token, so it cannot be used for fill-mask.")
        self._mask_token_id = tokenizer.mask_token_id

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Fill the masks of a text, or of each text of a list or iterable."""
        results = super().__call__(inputs, **options)
        return results[0] if isinstance(inputs, list) and len(inputs) == 1 else results

    def prepare(self, window: Window, options: FillMaskOptions, cuts: CutLog) -> Rows:
        """Tokenize the texts of a window and check that each has a mask."""
        options = with_tokenizer_options(options, options.tokenizer_kwargs, "tokenizer_kwargs")
        texts = plain_texts(window.items, window.name)
        rows = encode_rows(self.tokenizer, texts, self.policy(options), cuts, window.name)
        for index in range(len(rows)):
            if not (rows.row(index) == self._mask_token_id).any():
                raise InputError(
                    f"{window.name(index)} has no mask token; write {self.tokenizer.mask_token} where one is to be"
                    " filled in" + (" (was it cut off by truncation?)." if self._has_mask(texts[index]) else ".")
                )
        return rows

    def complete(self, prepared: Rows, options: FillMaskOptions, progress: Progress) -> Sequence[Any]:
        """Best tokens for the masks of each text."""
        target_ids = None if options.targets is None else self._target_ids(options.targets)
        results: list[Any] = [None] * len(prepared)
        for batch, (logits, *_) in self.runner.run(prepared, options, progress):
            for place, index in enumerate(batch.indices.tolist()):
                ids = prepared.row(index)
                positions = np.flatnonzero(ids == self._mask_token_id)
                scores = softmax(logits[place, positions])  # (masks, vocab)
                results[index] = self._fill(ids, positions, scores, target_ids, options.top_k)
        return results

    def _has_mask(self, text: str) -> bool:
        return str(self.tokenizer.mask_token) in text

    def _fill(
        self, ids: IntArray, positions: IntArray, scores: NDArray[Any], target_ids: IntArray | None, top_k: int
    ) -> list[Any]:
        """One list of fillings for each mask; for a single mask, that list itself."""
        if target_ids is not None:
            scores = scores[:, target_ids]
        best = top_indices(scores, top_k)  # (masks, top_k)
        is_single = len(positions) == 1
        fillings = []
        for mask, position in enumerate(positions.tolist()):
            tokens = best[mask] if target_ids is None else target_ids[best[mask]]
            pairs = zip(tokens.tolist(), scores[mask, best[mask]].tolist(), strict=True)
            fillings.append([self._filling(ids, position, token, score, is_single) for token, score in pairs])
        return fillings[0] if is_single else fillings

    def _filling(self, ids: IntArray, position: int, token: int, score: float, is_single: bool) -> dict[str, Any]:
        filled = ids.copy()
        filled[position] = token
        filled = filled[filled != self.tokenizer.pad_token_id]
        return {
            "score": score,
            "token": token,
            "token_str": self.tokenizer.decode([token]),
            # With several masks the others stay visible.
            "sequence": self.tokenizer.decode(filled.tolist(), skip_special_tokens=is_single),
        }

    def _target_ids(self, targets: str | Sequence[str]) -> IntArray:
        """Ids of the targets; a word that is no token stands for the first of its pieces, which is logged."""
        vocabulary = self.tokenizer.get_vocab()
        ids: dict[int, None] = {}
        for target in [targets] if isinstance(targets, str) else list(targets):
            token = vocabulary.get(require_text(target, "A target"))
            token = self._first_piece(target) if token is None else token
            if token is not None:
                ids[token] = None
        if not ids:
            raise OptionError("targets holds no word of the vocabulary; give at least one, or leave targets out.")
        return np.array(list(ids), dtype=np.int64)

    def _first_piece(self, target: str) -> int | None:
        pieces = self.tokenizer(target, add_special_tokens=False)["input_ids"]
        if not pieces:
            logger.warning("The target %r is not in the vocabulary and has no pieces: it is left out.", target)
            return None
        first: int = pieces[0]
        token = self.tokenizer.convert_ids_to_tokens(first)
        logger.warning("The target %r is not in the vocabulary: %r stands for it.", target, token)
        return first


def top_indices(scores: NDArray[Any], top_k: int) -> IntArray:
    """Indices of the ``top_k`` largest values of each row, largest first.

    >>> top_indices(np.array([[0.1, 0.7, 0.2]]), 2).tolist()
    [[1, 2]]
    """
    count = min(top_k, scores.shape[-1])
    if count < scores.shape[-1]:
        candidates = np.argpartition(-scores, count - 1, axis=-1)[:, :count]
        candidates.sort(axis=-1)
    else:
        candidates = np.broadcast_to(np.arange(count), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, candidates, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(candidates, order, axis=-1)
