"""Questions and contexts to answers cut from the contexts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..batching import Rows
from ..errors import InputError, InputTooLongError, InputTypeError, OptionError
from .answer_spans import Answer, SpanScores, add_answers, best_spans
from .encode import CutLog, NameOf, tokenize
from .inputs import describe, require_keys, require_text
from .options import PipelineOptions, require_flag
from .progress import Progress
from .runner import Array
from .text import TextPipeline
from .windows import Window

if TYPE_CHECKING:
    from tokenizers import Encoding

logger = logging.getLogger("headway")

_DEFAULT_SEQUENCE_LENGTH = 384
_DEFAULT_STRIDE = 128
_LARGEST_COUNT = 2**31 - 1


@dataclass(frozen=True)
class QuestionAnsweringOptions(PipelineOptions):
    """Options of question answering.

    Args:
        top_k: how many answers to give.
        max_answer_len: most tokens of an answer.
        max_seq_len: most tokens of a piece, question included; None takes 384 or the model's limit.
        doc_stride: tokens that neighbouring pieces of a long context share; None takes 128 or half a piece.
        max_question_len: most tokens of a question; a longer one is cut, which is logged.
        handle_impossible_answer: let no answer, an empty one, compete.
        align_to_words: extend answers to whole words.
    """

    top_k: int = 1
    max_answer_len: int = 15
    max_seq_len: int | None = None
    doc_stride: int | None = None
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("top_k", "max_answer_len", "max_question_len"):
            _require_count(name, getattr(self, name))
        if self.max_seq_len is not None:
            _require_count("max_seq_len", self.max_seq_len)
        if self.doc_stride is not None and (not isinstance(self.doc_stride, int) or self.doc_stride < 0):
            raise OptionError(f"doc_stride is {self.doc_stride!r}; it must be a whole number of at least 0, or None.")
        require_flag("handle_impossible_answer", self.handle_impossible_answer)
        require_flag("align_to_words", self.align_to_words)


@dataclass(frozen=True)
class Pieces:
    """Contexts in pieces, each behind its question.

    Args:
        contexts: the contexts.
        owners: number of the context that each piece belongs to.
        encodings: the tokens of each piece.
        rows: the pieces' ids.
        context_sequence: 1 where the context is the second text of the pair, 0 where it is the first.
    """

    contexts: list[str]
    owners: list[int]
    encodings: list[Encoding]
    rows: Rows
    context_sequence: int


class QuestionAnsweringPipeline(TextPipeline[QuestionAnsweringOptions, Pieces]):
    """Answers to questions, as spans of their contexts.

    A question with its context gives ``{"score", "start", "end", "answer"}``, or with ``top_k`` above one a list of
    them, best first; several give a list of these. Contexts of any length run in overlapping pieces. Source:
    ``QuestionAnsweringPipeline`` of transformers 4.57; transformers 5.3 dropped it.
    """

    model_task = "question-answering"
    options_type = QuestionAnsweringOptions
    output_names = ("start_logits", "end_logits")
    window_size = 256
    accepted = "a dict {'question': …, 'context': …}"

    def __call__(self, *inputs: Any, question: Any = None, context: Any = None, **options: Any) -> Any:
        """Answer one question or several.

        Args:
            inputs: a dict ``{"question", "context"}``, a list or iterable of such dicts, or a question and a context.
            question: one question, or a list of them.
            context: one context for all questions, or a list with one for each.
        """
        items = _examples(inputs, question, context)
        if isinstance(items, list) and len(items) == 1:
            items = items[0]
        return super().__call__(items, **options)

    def prepare(self, window: Window, options: QuestionAnsweringOptions, cuts: CutLog) -> Pieces:
        """Tokenize questions with their contexts, long contexts into pieces."""
        examples = [_question_and_context(item, window.name(i)) for i, item in enumerate(window.items)]
        questions = self._short_questions([question for question, _ in examples], options.max_question_len, window.name)
        contexts = [context for _, context in examples]
        length, stride = self._piece_length(options)
        question_first = self.tokenizer.padding_side == "right"
        pairs = zip(questions, contexts, strict=True) if question_first else zip(contexts, questions, strict=True)
        try:
            batch = tokenize(
                self.tokenizer,
                list(pairs),
                window.name,
                truncation="only_second" if question_first else "only_first",
                max_length=length,
                stride=stride,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
                return_token_type_ids=True,
            )
        except InputTooLongError as error:
            raise InputTooLongError(
                f"A question leaves no room for its context in pieces of {length} tokens; raise max_seq_len, or lower"
                " max_question_len."
            ) from error
        rows = Rows.from_lists(batch["input_ids"], batch["token_type_ids"])
        owners = list(batch["overflow_to_sample_mapping"])
        return Pieces(contexts, owners, batch.encodings or [], rows, 1 if question_first else 0)

    def complete(self, prepared: Pieces, options: QuestionAnsweringOptions, progress: Progress) -> Sequence[Any]:
        """Answers to each question."""
        progress.expect(len(prepared.rows))
        logits: list[tuple[Array, Array] | None] = [None] * len(prepared.rows)
        for batch, (starts, ends) in self.runner.run(prepared.rows, options, progress):
            for place, (index, length) in enumerate(zip(batch.indices.tolist(), batch.lengths.tolist(), strict=True)):
                logits[index] = starts[place, :length], ends[place, :length]
        answers: list[list[Answer]] = [[] for _ in prepared.contexts]
        null_scores = [1e6] * len(answers)
        for piece, pair in enumerate(logits):
            if pair is None:
                continue
            owner = prepared.owners[piece]
            null_score = self._add_piece(answers[owner], prepared, piece, pair, options)
            null_scores[owner] = min(null_scores[owner], null_score)
        return [_result(own, null, options) for own, null in zip(answers, null_scores, strict=True)]

    def _add_piece(
        self,
        answers: list[Answer],
        prepared: Pieces,
        piece: int,
        logits: tuple[Array, Array],
        options: QuestionAnsweringOptions,
    ) -> float:
        """Add a piece's best spans to the answers and return its score of no answer."""
        encoding = prepared.encodings[piece]
        scores = SpanScores.from_logits(*logits, self._candidates(encoding, prepared.context_sequence))
        # More than asked for, since aligned to words several become one.
        count = options.top_k * 2 + 10 if options.align_to_words else options.top_k
        spans = best_spans(scores, count, options.max_answer_len)

        def characters(first: int, last: int) -> tuple[int, int]:
            return _characters(encoding, first, last, prepared.context_sequence, options.align_to_words)

        add_answers(answers, spans, prepared.contexts[prepared.owners[piece]], characters)
        return scores.null_score

    def _candidates(self, encoding: Encoding, context_sequence: int) -> NDArray[np.bool_]:
        """(length,) whether a token is the context's, or the classification token that stands for no answer."""
        in_context = np.array([sequence == context_sequence for sequence in encoding.sequence_ids])
        if self.tokenizer.cls_token_id is None:
            return in_context
        is_class: NDArray[np.bool_] = in_context | (np.array(encoding.ids) == self.tokenizer.cls_token_id)
        return is_class

    def _piece_length(self, options: QuestionAnsweringOptions) -> tuple[int, int]:
        """Tokens of a piece, and how many of them neighbouring pieces share."""
        limits = [limit for limit in (self.limit, options.max_seq_len, options.max_length) if limit is not None]
        length = min(limits if options.max_seq_len is not None else [*limits, _DEFAULT_SEQUENCE_LENGTH])
        stride = min(length // 2, _DEFAULT_STRIDE) if options.doc_stride is None else options.doc_stride
        if stride > length:
            raise OptionError(f"doc_stride is {stride}; it must not be above max_seq_len, {length}.")
        return length, stride

    def _short_questions(self, questions: list[str], limit: int, name_of: NameOf) -> list[str]:
        """The questions, those of more than ``limit`` tokens cut."""
        batch = tokenize(self.tokenizer, questions, name_of, add_special_tokens=False, return_offsets_mapping=True)
        lengths = [len(ids) for ids in batch["input_ids"]]
        too_long = [length for length in lengths if length > limit]
        if too_long:
            logger.warning(
                "%d question%s over the limit of %d tokens (the longest has %d) and cut to it. Raise max_question_len"
                " to keep %s whole.",
                len(too_long),
                " was" if len(too_long) == 1 else "s were",
                limit,
                max(too_long),
                "it" if len(too_long) == 1 else "them",
            )
        return [
            question if length <= limit else question[: spans[limit - 1][1]]
            for question, length, spans in zip(questions, lengths, batch["offset_mapping"], strict=True)
        ]


def _result(answers: list[Answer], null_score: float, options: QuestionAnsweringOptions) -> Any:
    """One answer, or a list of several."""
    if options.handle_impossible_answer:
        answers.append({"score": null_score, "start": 0, "end": 0, "answer": ""})
    best = sorted(answers, key=lambda answer: float(answer["score"]), reverse=True)[: options.top_k]
    if not best:
        return {"score": 0.0, "start": 0, "end": 0, "answer": ""}
    return best[0] if len(best) == 1 else best


def _characters(encoding: Encoding, first: int, last: int, sequence: int, align_to_words: bool) -> tuple[int, int]:
    """Characters of the context from token ``first`` to token ``last``, or of the words around them."""
    if align_to_words:
        words = encoding.token_to_word(first), encoding.token_to_word(last)
        spans = [None if word is None else encoding.word_to_chars(word, sequence) for word in words]
        if spans[0] is not None and spans[1] is not None:
            return spans[0][0], spans[1][1]
    offsets = encoding.offsets
    return offsets[first][0], offsets[last][1]


def _examples(inputs: tuple[Any, ...], question: Any, context: Any) -> Any:
    """What to answer: one dict, a list of dicts, or an iterable of them."""
    if inputs and (question is not None or context is not None):
        raise InputError("Give questions and contexts either by position or by name, not both.")
    if len(inputs) == 2 and all(isinstance(text, str) for text in inputs):
        return {"question": inputs[0], "context": inputs[1]}
    if len(inputs) == 1:
        return inputs[0]
    if inputs:
        return list(inputs)
    return list(_paired(question, context))


def _paired(question: Any, context: Any) -> Iterator[dict[str, Any]]:
    if isinstance(question, list | tuple):
        contexts = [context] * len(question) if isinstance(context, str) else context
        if not isinstance(contexts, list | tuple):
            raise InputTypeError(f"context is {describe(context)}; a text or a list, one for each question, is needed.")
        if len(contexts) != len(question):
            raise InputError(f"There are {len(question)} questions and {len(contexts)} contexts; give one for each.")
        yield from ({"question": q, "context": c} for q, c in zip(question, contexts, strict=True))
        return
    yield {"question": question, "context": context}


def _question_and_context(item: Any, name: str) -> tuple[str, str]:
    keys = require_keys(item, ("question", "context"), ("id",), name)
    texts = [require_text(keys[key], f"{name}['{key}']") for key in ("question", "context")]
    for key, text in zip(("question", "context"), texts, strict=True):
        if not text:
            raise InputError(f"{name}['{key}'] is empty; there must be text.")
    return texts[0], texts[1]


def _require_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_COUNT:
        raise OptionError(f"{name} is {value!r}; it must be a whole number from 1 to {_LARGEST_COUNT}.")
