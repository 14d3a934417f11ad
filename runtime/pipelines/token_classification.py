"""Texts to the tokens or entities in them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..batching import Rows
from ..errors import InputTypeError, OptionError
from ..models import Model
from ..numerics import softmax
from ..tokenization.batch_encoding import BatchEncoding
from ..tokenization.tokenizer import Tokenizer
from .encode import CutLog, require_within_limit, tokenize
from .entities import STRATEGIES, Entity, EntityFinder, without_overlaps
from .inputs import describe, plain_texts, require_texts
from .options import PipelineOptions, require_choice, require_flag, require_words
from .progress import Progress
from .runner import Array, token_vectors
from .text import TextPipeline
from .windows import Window

if TYPE_CHECKING:
    from tokenizers import Encoding

logger = logging.getLogger("headway")


@dataclass(frozen=True)
class TokenClassificationOptions(PipelineOptions):
    """Options of token classification.

    Args:
        aggregation_strategy: ``"none"`` gives tokens; ``"simple"`` merges neighbouring tokens of one kind; ``"first"``,
            ``"average"`` and ``"max"`` first make the tokens of a word agree.
        ignore_labels: labels to leave out; None leaves out ``"O"``.
        stride: with it, a long text runs in pieces that overlap by this many tokens, and none of it is cut.
        is_split_into_words: inputs are lists of words.
        delimiter: what words are joined with, for the offsets of such inputs; None takes a space.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] | None = None
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        strategy = self.aggregation_strategy
        if isinstance(strategy, str):
            strategy = strategy.lower()
            object.__setattr__(self, "aggregation_strategy", strategy)
        require_choice("aggregation_strategy", strategy, ("none", *STRATEGIES))
        require_words("ignore_labels", self.ignore_labels)
        require_flag("is_split_into_words", self.is_split_into_words)
        if self.stride is not None and (not isinstance(self.stride, int) or self.stride < 0):
            raise OptionError(f"stride is {self.stride!r}; it must be a whole number of at least 0, or None.")


@dataclass(frozen=True)
class TokenizedTexts:
    """Texts in pieces.

    Args:
        texts: the texts that offsets refer to.
        owners: number of the text that each piece belongs to.
        pieces: the tokens of each piece.
        spans: characters of each token of each piece, in its text.
        rows: the pieces' ids.
    """

    texts: list[str]
    owners: list[int]
    pieces: list[Encoding]
    spans: list[list[tuple[int, int]]]
    rows: Rows


class TokenClassificationPipeline(TextPipeline[TokenClassificationOptions, TokenizedTexts]):
    """Labels of tokens, or entities.

    A text gives a list of ``{"entity", "score", "index", "word", "start", "end"}``, or with an aggregation strategy of
    ``{"entity_group", "score", "word", "start", "end"}``; a list of texts gives a list of these. Source:
    ``TokenClassificationPipeline`` of transformers 5.23.
    """

    model_task = "token-classification"
    options_type = TokenClassificationOptions
    # transformers cuts long texts here; so does this, and says so.
    default_truncation = "warn"
    window_size = 1024
    accepted = "a text (str), or with is_split_into_words=True a list of words"

    def __init__(self, model: Model, tokenizer: Tokenizer, task: str, options: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, task, options)
        self.finder = EntityFinder(tokenizer, model.config.id2label)
        self._warned_about_words = False

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify the tokens of a text, or of each text of a list or iterable."""
        merged = self.merged(options)
        if merged.is_split_into_words and isinstance(inputs, list) and not all(isinstance(i, list) for i in inputs):
            inputs = [inputs]  # the words of one text, whose result transformers gives in a list
        return super().__call__(inputs, **options)

    def prepare(self, window: Window, options: TokenClassificationOptions, cuts: CutLog) -> TokenizedTexts:
        """Tokenize the texts of a window, long ones into pieces."""
        self._check(options)
        if options.is_split_into_words:
            words = [_words(item, window.name(index)) for index, item in enumerate(window.items)]
            delimiter = " " if options.delimiter is None else options.delimiter
            texts = [delimiter.join(own) for own in words]
            word_starts = [_word_starts(own, delimiter) for own in words]
            batch, owners = self._tokenize(words, window, options, cuts)
            pieces = batch.encodings or []
            spans = [_spans_in_text(piece, word_starts[owner]) for piece, owner in zip(pieces, owners, strict=True)]
        else:
            texts = plain_texts(window.items, window.name)
            batch, owners = self._tokenize(texts, window, options, cuts)
            pieces = batch.encodings or []
            spans = [piece.offsets for piece in pieces]
        rows = Rows.from_lists(batch["input_ids"], batch.get("token_type_ids"))
        return TokenizedTexts(texts, owners, pieces, spans, rows)

    def complete(
        self, prepared: TokenizedTexts, options: TokenClassificationOptions, progress: Progress
    ) -> Sequence[Any]:
        """Tokens or entities of each text."""
        progress.expect(len(prepared.rows))
        found: list[list[Entity]] = [[] for _ in prepared.texts]
        rows, places = _without_empty(prepared.rows)
        outputs = token_vectors(self.runner.run(rows, options, progress), len(rows))
        logits: list[Array | None] = [None] * len(prepared.rows)
        for place, output in zip(places, outputs, strict=True):
            logits[place] = output
        ignored = ["O"] if options.ignore_labels is None else list(options.ignore_labels)
        for piece, (owner, values) in enumerate(zip(prepared.owners, logits, strict=True)):
            if values is None:
                continue
            encoding = prepared.pieces[piece]
            tokens = self.finder.tokens(
                prepared.texts[owner],
                encoding.ids,
                softmax(values),
                prepared.spans[piece],
                encoding.special_tokens_mask,
            )
            found[owner].extend(self.finder.find(tokens, options.aggregation_strategy, ignored))
        num_pieces = np.bincount(prepared.owners, minlength=len(found)).tolist()
        return [without_overlaps(own) if num > 1 else own for own, num in zip(found, num_pieces, strict=True)]

    def _tokenize(
        self, texts: Sequence[Any], window: Window, options: TokenClassificationOptions, cuts: CutLog
    ) -> tuple[BatchEncoding, list[int]]:
        """Tokens of each text, and the number of the text that each row belongs to."""
        tokenizer_options: dict[str, Any] = {"is_split_into_words": options.is_split_into_words}
        policy = self.policy(options)
        limit = policy.limit
        if options.stride is not None and limit is not None:
            tokenizer_options |= {
                "truncation": True,
                "max_length": limit,
                "stride": options.stride,
                "return_overflowing_tokens": True,
            }
        batch = self._call_tokenizer(texts, window, tokenizer_options)
        if options.stride is not None:
            return batch, list(batch.get("overflow_to_sample_mapping", range(len(texts))))
        lengths = np.array([len(ids) for ids in batch["input_ids"]])
        if limit is not None and lengths.size and lengths.max() > limit:
            for index, length in enumerate(lengths.tolist() if policy.action == "error" else ()):
                require_within_limit(length, limit, window.name(index))
            if policy.action == "warn":
                cuts.add(lengths[lengths > limit], limit)
            # All again: the pieces must come from one call for their alignment with the texts.
            cut = {"truncation": policy.strategy, "max_length": limit}
            batch = self._call_tokenizer(texts, window, tokenizer_options | cut)
        return batch, list(range(len(texts)))

    def _call_tokenizer(self, texts: Sequence[Any], window: Window, options: dict[str, Any]) -> BatchEncoding:
        # With the offsets asked for, the alignment is computed once and not a second time when it is read.
        return tokenize(self.tokenizer, texts, window.name, return_offsets_mapping=True, **options)

    def _check(self, options: TokenClassificationOptions) -> None:
        strategy = options.aggregation_strategy
        if options.stride is not None and strategy == "none":
            raise OptionError(
                f"stride={options.stride} needs an aggregation_strategy other than 'none'; allowed are"
                f" {', '.join(STRATEGIES)}."
            )
        if options.stride is not None and self.limit is not None and options.stride >= self.limit:
            raise OptionError(f"stride is {options.stride}; it must be below the model's limit of {self.limit} tokens.")
        if strategy in ("first", "average", "max") and not self.finder.knows_words and not self._warned_about_words:
            self._warned_about_words = True
            logger.warning("This tokenizer does not mark the pieces of a word: words are told by the spaces between.")


def _words(item: Any, name: str) -> list[str]:
    if not isinstance(item, list):
        raise InputTypeError(f"{name} is {describe(item)}; with is_split_into_words=True it must be a list of words.")
    return require_texts(item, name)


def _word_starts(words: Sequence[str], delimiter: str) -> list[int]:
    """First character of each word in the joined text."""
    lengths = np.array([len(word) + len(delimiter) for word in words], dtype=np.int64)
    starts: list[int] = (np.cumsum(lengths) - lengths).tolist()
    return starts


def _spans_in_text(piece: Encoding, word_starts: Sequence[int]) -> list[tuple[int, int]]:
    """Spans of a pre-split text's tokens, which count from each word's start, counted from the text's start."""
    shifts = [0 if word is None else word_starts[word] for word in piece.word_ids]
    return [(start + shift, end + shift) for (start, end), shift in zip(piece.offsets, shifts, strict=True)]


def _without_empty(rows: Rows) -> tuple[Rows, list[int]]:
    """Rows that have tokens, and their places; an empty text without special tokens has none, and no entities."""
    places = np.flatnonzero(rows.lengths)
    return Rows(rows.ids, rows.lengths[places], rows.type_ids), places.tolist()
