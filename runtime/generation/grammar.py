"""Text that follows a grammar: a JSON schema, a regular expression, or a context-free grammar in Lark's notation.

The grammar is followed by llguidance, which says after each token which tokens may come next. Source of the notations:
https://github.com/guidance-ai/llguidance/tree/main/docs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputTypeError, MissingExtraError, OptionError
from .history import Scores, TokenIds

# Without free white space: a model that is unsure writes it for ever.
_JSON_LAYOUT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_MAX_MESSAGE = 300
# llguidance's word for a grammar whose first token is none.
_NO_TEXT = "NoExtensionBias"


@dataclass(frozen=True)
class Grammar:
    """What a text has to look like.

    Args:
        kind: ``"json_schema"``, ``"regex"`` or ``"lark"``.
        source: the schema as JSON, the expression, or the grammar.

    >>> Grammar.json_schema({"type": "object"}).source
    '{"type": "object"}'
    """

    kind: str
    source: str

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool) -> Grammar:
        """JSON that a schema describes, written on one line."""
        return cls("json_schema", json.dumps(schema))

    @classmethod
    def json_object(cls) -> Grammar:
        """Any JSON object."""
        return cls.json_schema({"type": "object"})

    @classmethod
    def regex(cls, pattern: str) -> Grammar:
        """Text that an expression matches as a whole."""
        return cls("regex", pattern)

    @classmethod
    def lark(cls, source: str) -> Grammar:
        """Text of a context-free grammar whose first rule is ``start``."""
        return cls("lark", source)

    @classmethod
    def of(cls, value: Any) -> Grammar:
        """A grammar as it is, or of a JSON schema as a dict.

        Raises:
            InputTypeError: it is something else.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls.json_schema(value)
        raise InputTypeError(f"grammar is a {type(value).__name__}; pass a Grammar, or a JSON schema as a dict.")


class GrammarCompiler:
    """Makes constraints for one tokenizer; it takes about a second to make, so keep it.

    Args:
        tokenizer: with a ``tokenizers.Tokenizer`` as ``backend_tokenizer``.
        vocab_size: how many scores the model gives.
        eos_token_ids: what ends a text; at least one.

    Raises:
        MissingExtraError: llguidance is not installed.
        OptionError: there is no end-of-sequence id.
    """

    def __init__(self, tokenizer: Any, vocab_size: int, eos_token_ids: Iterable[int]) -> None:
        try:
            import llguidance
        except ModuleNotFoundError as error:
            raise MissingExtraError("Grammars need llguidance. Install headway[serve].") from error
        ends = list(eos_token_ids)
        if not ends:
            raise OptionError("A grammar needs an end of sequence, and eos_token_id is not set; set it.")
        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not hasattr(backend, "to_str"):
            raise OptionError("A grammar needs the model's tokenizer; pass tokenizer= to generate().")
        num_tokens = max(vocab_size, backend.get_vocab_size())
        self._tokenizer = llguidance.LLTokenizer(backend.to_str(), n_vocab=num_tokens, eos_token=ends)
        self._num_words = (num_tokens + 31) // 32

    def constraint(self, grammar: Grammar) -> GrammarConstraint:
        """A processor of scores for one generation.

        Raises:
            OptionError: the grammar cannot be used; the message says where.
        """
        from llguidance import LLMatcher

        make = {
            "json_schema": lambda source: LLMatcher.grammar_from_json_schema(source, overrides=_JSON_LAYOUT),
            "regex": LLMatcher.grammar_from_regex,
            "lark": LLMatcher.grammar_from_lark,
        }
        if grammar.kind not in make:
            raise OptionError(f"The grammar's kind is {grammar.kind!r}; allowed are {', '.join(make)}.")
        try:
            matcher = LLMatcher(self._tokenizer, make[grammar.kind](grammar.source), log_level=0)
        except ValueError as error:
            raise _unusable(grammar, str(error)) from error
        if matcher.is_error():
            raise _unusable(grammar, matcher.get_error())
        constraint = GrammarConstraint(grammar, matcher, self._num_words)
        constraint.require_a_beginning()
        return constraint


class GrammarConstraint:
    """Allows only tokens that keep each row's new text within the grammar.

    Args:
        grammar: what it follows, for messages.
        matcher: of llguidance, at the beginning of a text.
        num_words: words of 32 bits that hold a bit for each token.
    """

    def __init__(self, grammar: Grammar, matcher: Any, num_words: int) -> None:
        self._grammar = grammar
        self._begin = matcher
        self._bitmask: NDArray[np.int32] = np.zeros((1, num_words), dtype=np.int32)
        self._prompt_length = -1
        self._rows: dict[int, _Row] = {}

    def require_a_beginning(self) -> None:
        """Refuse a grammar that no text follows, or whose first token takes too long to find.

        Raises:
            OptionError: it is one.
        """
        self._allowed(self._begin.deep_copy(), 0)

    def __call__(self, input_ids: TokenIds, scores: Scores) -> Scores:
        """Put the scores of all other tokens to -inf; called first with the prompts alone.

        Args:
            input_ids: (rows, length) int64.
            scores: (rows, vocab) float32.

        Raises:
            OptionError: the grammar is too large to be followed further, so that nothing is written that breaks it.
        """
        if self._prompt_length < 0:
            self._prompt_length = input_ids.shape[1]
        for row, tokens in enumerate(input_ids[:, self._prompt_length :].tolist()):
            state = self._rows.get(row)
            if state is None or not state.continues(tokens):
                # A beam search lets a row go on from what another one was.
                state = self._rows[row] = _Row(self._begin.deep_copy())
            if state.advance(tokens):
                self._require_success(state.matcher)
                scores[row, ~self._allowed(state.matcher, scores.shape[1])] = -np.inf
        return scores

    def _allowed(self, matcher: Any, vocab_size: int) -> NDArray[np.bool_]:
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(matcher, self._bitmask, 0)
        self._require_success(matcher)
        bits = np.unpackbits(self._bitmask[0].view(np.uint8), count=vocab_size, bitorder="little")
        return bits.astype(bool)

    def _require_success(self, matcher: Any) -> None:
        if matcher.is_error():
            error = matcher.get_error().partition("<state>")[0]
            raise _unusable(self._grammar, "no text follows it" if _NO_TEXT in error else error)


class _Row:
    """How far a row has come in the grammar."""

    def __init__(self, matcher: Any) -> None:
        self.matcher = matcher
        self._tokens: list[int] = []

    def continues(self, tokens: list[int]) -> bool:
        """Whether ``tokens`` begin with what was read."""
        return tokens[: len(self._tokens)] == self._tokens

    def advance(self, tokens: list[int]) -> bool:
        """Read the new tokens; whether the row goes on, which one that has ended does not."""
        for token in tokens[len(self._tokens) :]:
            self._tokens.append(token)
            # What is beyond the end, such as padding beside longer rows, is no part of the text.
            if self.matcher.is_stopped():
                return False
            self.matcher.consume_token(token)
        return True


def _unusable(grammar: Grammar, message: str) -> OptionError:
    return OptionError(f"The {grammar.kind} cannot be used: {' '.join(message.split())[:_MAX_MESSAGE]}.")
