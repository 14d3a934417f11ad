"""Texts to rows of token ids, with the model's limit kept and no text ever cut in silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..batching import IntArray, Rows
from ..errors import InputError, InputTooLongError
from ..tokenization.batch_encoding import BatchEncoding
from ..tokenization.tokenizer import Tokenizer
from .options import TRUNCATION_STRATEGIES

logger = logging.getLogger("headway")

Text = str | tuple[str, str]
NameOf = Callable[[int], str]


@dataclass(frozen=True)
class LengthPolicy:
    """What happens to texts over the limit.

    Args:
        limit: most tokens of a row, special tokens counted; None for no limit.
        action: ``"error"``, ``"warn"`` or ``"cut"``.
        strategy: which text of a pair is cut.
    """

    limit: int | None
    action: str = "error"
    strategy: str = "longest_first"

    @classmethod
    def resolve(
        cls,
        model_limit: int | None,
        truncation: bool | str | None,
        max_length: int | None,
        default: str,
        strategy: str = "longest_first",
    ) -> LengthPolicy:
        """Policy of a call.

        Args:
            model_limit: most tokens the model takes.
            truncation: the call's option; None takes ``default``.
            max_length: the call's limit, or None.
            default: ``"error"`` or ``"warn"``.
            strategy: which text of a pair is cut where ``truncation`` does not say.
        """
        limits = [limit for limit in (model_limit, max_length) if limit is not None]
        limit = min(limits) if limits else None
        if truncation is None:
            return cls(limit, "warn" if max_length is not None else default, strategy)
        if truncation is True:
            return cls(limit, "cut", strategy)
        if truncation in TRUNCATION_STRATEGIES:
            return cls(limit, "cut", str(truncation))
        return cls(limit, "warn" if truncation == "warn" else "error", strategy)


class CutLog:
    """Counts the texts of a call that were cut, to say so once."""

    def __init__(self) -> None:
        self._num_cut = 0
        self._longest = 0
        self._limit = 0

    def add(self, lengths: IntArray, limit: int) -> None:
        """Count texts of ``lengths`` tokens, each over ``limit``."""
        self._num_cut += len(lengths)
        self._longest = max(self._longest, int(lengths.max()))
        self._limit = limit

    def report(self) -> None:
        """Log how many texts were cut, if any."""
        if self._num_cut:
            logger.warning(
                "%d text%s over the limit of %d tokens (the longest has %d) and cut to it. Pass truncation=True to cut"
                " without this message, or truncation='error' to refuse such texts.",
                self._num_cut,
                " was" if self._num_cut == 1 else "s were",
                self._limit,
                self._longest,
            )
        self._num_cut = 0


def encode_rows(
    tokenizer: Tokenizer, texts: Sequence[Text], policy: LengthPolicy, cuts: CutLog, name_of: NameOf, **options: Any
) -> Rows:
    """Ids and token types of texts and pairs, tokenized in one call.

    Args:
        policy: what to do with rows over the limit.
        cuts: told of the rows cut under the ``"warn"`` action.
        name_of: how messages call the text at an index.
        options: further options of the tokenizer (``add_special_tokens``).

    Raises:
        InputError: a text the tokenizer refuses, or without any token.
        InputTooLongError: a text over the limit, under the ``"error"`` action.
    """
    if not texts:
        return Rows.from_lists([])
    is_plain = len(texts) == 1 and isinstance(texts[0], str) and not options
    rows = _row_of(tokenizer, texts, name_of) if is_plain else _rows_of(tokenize(tokenizer, texts, name_of, **options))
    rows = _within_limit(rows, tokenizer, texts, policy, cuts, name_of, options)
    if not rows.lengths.min():
        empty = name_of(int(rows.lengths.argmin()))
        raise InputError(f"{empty} gives no tokens with this tokenizer; leave such texts out.")
    return rows


def tokenize(tokenizer: Tokenizer, texts: Sequence[Any], name_of: NameOf, **options: Any) -> BatchEncoding:
    """Call the tokenizer, and name the text it refuses, if any."""
    options = {"verbose": False, "return_attention_mask": False, **options}
    try:
        return tokenizer(list(texts), **options)
    except InputError:
        for index, text in enumerate(texts):
            _tokenize_one(tokenizer, text, name_of(index), options)
        raise


def require_within_limit(length: int, limit: int | None, name: str) -> None:
    """Raise InputTooLongError where a row of ``length`` tokens is over ``limit``."""
    if limit is not None and length > limit:
        raise InputTooLongError(
            f"{name} has {length} tokens; the limit is {limit}. Pass truncation=True to cut it,"
            " truncation='warn' to cut it and log that, or split the text."
        )


def _within_limit(
    rows: Rows,
    tokenizer: Tokenizer,
    texts: Sequence[Text],
    policy: LengthPolicy,
    cuts: CutLog,
    name_of: NameOf,
    options: dict[str, Any],
) -> Rows:
    """The rows, with those over the limit tokenized again under truncation."""
    if policy.limit is None or rows.lengths.max() <= policy.limit:
        return rows
    too_long: IntArray = np.flatnonzero(rows.lengths > policy.limit)
    if policy.action == "error":
        first = int(too_long[0])
        require_within_limit(int(rows.lengths[first]), policy.limit, name_of(first))
    cut = tokenize(
        tokenizer,
        [texts[index] for index in too_long],
        lambda position: name_of(int(too_long[position])),
        truncation=policy.strategy,
        max_length=policy.limit,
        **options,
    )
    if policy.action == "warn":
        cuts.add(rows.lengths[too_long], policy.limit)
    return rows.replaced(too_long, _rows_of(cut))


def _rows_of(batch: BatchEncoding) -> Rows:
    return Rows.from_lists(batch["input_ids"], batch.get("token_type_ids"))


def _row_of(tokenizer: Tokenizer, texts: Sequence[Any], name_of: NameOf) -> Rows:
    """One text, without the detours of a batch."""
    try:
        ids, type_ids = tokenizer.encode_plain(texts[0])
    except InputError as error:
        raise type(error)(f"{name_of(0)} cannot be used: {error}") from error
    as_array = np.array(ids, dtype=np.int64)
    return Rows(as_array, np.array([len(ids)]), None if type_ids is None else np.array(type_ids, dtype=np.int64))


def _tokenize_one(tokenizer: Tokenizer, text: Any, name: str, options: dict[str, Any]) -> None:
    try:
        tokenizer([text], **options)
    except InputError as error:
        raise type(error)(f"{name} cannot be used: {error}") from error
