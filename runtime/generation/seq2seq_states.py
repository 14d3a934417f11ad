"""Encoder-decoders of other exporters, whose decoder reads the encoder's hidden states.

Of the first call it keeps cross-attention's keys and values too, for the later ones. Three kinds, by the graphs there
are: one for the first tokens and one for those after them, both merged into one file, or one without a cache that
begins anew at each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..bfloat16 import as_array
from ..errors import UnsupportedFormatError
from ..providers import import_onnxruntime
from ..session import Session
from .graph_facts import GraphFacts
from .graph_pairs import require_one_model
from .history import TokenIds
from .seq2seq_cache import EncodedInputs, Seq2SeqCache
from .seq2seq_graphs import Seq2SeqGraphs, is_past, present_of, run_graph

Array = NDArray[Any]

_HIDDEN, _MASK, _BRANCH = "encoder_hidden_states", "encoder_attention_mask", "use_cache_branch"
_KNOWN_INPUTS = (
    "input_ids",
    "decoder_input_ids",
    "attention_mask",
    "decoder_attention_mask",
    "cache_position",
    "position_ids",
    _HIDDEN,
    _MASK,
    _BRANCH,
)


class HiddenStateCache(Seq2SeqCache):
    """Also the decoder's tokens, for a graph that keeps no states."""

    def __init__(self, encoded: EncodedInputs, specs: tuple[TensorSpec, ...]) -> None:
        super().__init__(encoded, specs, can_share=False)
        self.token_ids = np.zeros((encoded.num_rows, 0), dtype=np.int64)

    def select(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` become what row ``rows[i]`` was; a row may come several times, or not at all."""
        self.token_ids = self.token_ids[rows]
        super().select(rows)

    def truncate(self, length: int) -> None:
        """Forget all but the first ``length`` tokens of every row."""
        self.token_ids = self.token_ids[:, :length]
        super().truncate(length)


class HiddenStateGraphs(Seq2SeqGraphs):
    """Encoder and decoder as optimum and transformers.js lay them out; see :class:`.seq2seq_graphs.Seq2SeqGraphs`.

    Args:
        encoder: gives ``last_hidden_state``.
        first: runs a row's first tokens: takes ``encoder_hidden_states``, gives ``present.{i}.decoder|encoder.…``.
        step: runs a token on top of others, from ``past_key_values.{i}.decoder|encoder.…``; ``first`` itself where both
            are one graph, None where every step begins anew.
        max_length: longest decoder sequence, or None.
        facts: what the folder says of the graphs.

    Raises:
        UnsupportedFormatError: an input is not understood, or has no output that it comes from.
    """

    def __init__(
        self,
        encoder: Session,
        first: Session,
        step: Session | None = None,
        max_length: int | None = None,
        facts: GraphFacts | None = None,
    ) -> None:
        facts = facts or GraphFacts()
        self.encoder, self.first, self.decoder = encoder, first, step or first
        self.keeps_states = step is not None
        self.max_length = max_length
        inputs = [facts.cache_spec(spec) for spec in self.decoder.inputs]
        self.past_specs = tuple(spec for spec in inputs if is_past(spec.name, "decoder"))
        self._cross_specs = tuple(spec for spec in inputs if is_past(spec.name, "encoder"))
        self._encoder_names = {}
        self._present_names = [present_of(spec.name) for spec in self.past_specs]
        self._cross_names = [present_of(spec.name) for spec in self._cross_specs]
        self._require_fitting()
        self.can_share = False
        self.takes_one_token = False
        self._begins_with_one = any(
            spec.shape[1] == 1 for spec in first.inputs if spec.name in ("input_ids", "decoder_input_ids")
        )
        self.vocab_size = facts.vocab_size_of(first)
        self.cross_attention_names = []

    def _require_fitting(self) -> None:
        for session in (self.first, self.decoder):
            for spec in session.inputs:
                if (
                    spec.name not in _KNOWN_INPUTS
                    and not is_past(spec.name, "decoder")
                    and not is_past(spec.name, "encoder")
                ):
                    raise UnsupportedFormatError(
                        f"{session.path} has the input {spec.name} {spec.dtype}{list(spec.shape)}, which is not "
                        f"understood; a decoder's are {', '.join(_KNOWN_INPUTS)} and past_key_values.…"
                    )
        for spec in self.past_specs:
            if spec.rank == 4 and isinstance(spec.shape[2], int):
                raise UnsupportedFormatError(
                    f"{self.decoder.path} takes {spec.name} {list(spec.shape)}: a past of just {spec.shape[2]} tokens. "
                    "Export it on a decoder prompt of several tokens, or the checkpoint with `headway export`."
                )
        needed = {"logits", *self._present_names, *self._cross_names} if self.keeps_states else {"logits"}
        missing = needed - set(self.first.output_names) | {"last_hidden_state"} - set(self.encoder.output_names)
        if missing:
            raise UnsupportedFormatError(
                f"{self.encoder.path} and {self.first.path} do not fit together: {', '.join(sorted(missing))} missing. "
                "Export the model with `headway export`."
            )
        require_one_model(self.first, self.decoder, self._present_names)

    def new_cache(self, encoded: EncodedInputs) -> HiddenStateCache:
        """A cache without tokens, one decoder row per input."""
        return HiddenStateCache(encoded, self.past_specs if self.keeps_states else ())

    def run(self, cache: Seq2SeqCache, input_ids: TokenIds) -> NDArray[np.float32]:
        """Append tokens to every row; (rows, tokens, vocab) float32, the logits after each of them.

        Raises:
            InputTooLongError: the decoder has no such position.
        """
        num_tokens = input_ids.shape[1]
        self._require_position(cache.length + num_tokens)
        if not isinstance(cache, HiddenStateCache):
            raise UnsupportedFormatError(
                "The cache is another model's; pass what an earlier call of this one returned."
            )
        if not self.keeps_states:
            cache.token_ids = np.concatenate([cache.token_ids, input_ids], axis=1)
            logits = self._run_first(cache, cache.token_ids)[:, -num_tokens:]
        elif cache.length == 0 and (num_tokens == 1 or not self._begins_with_one):
            logits = self._run_first(cache, input_ids)
        else:
            # What was traced on one token does not always take several.
            columns = np.split(input_ids, num_tokens, axis=1)
            pieces = [(self._run_step if cache.length else self.run)(cache, column) for column in columns]
            return np.concatenate(pieces, axis=1)
        cache.length += num_tokens
        return logits

    def _run_first(self, cache: HiddenStateCache, input_ids: TokenIds) -> NDArray[np.float32]:
        empty = {spec.name: _empty(spec, cache.num_rows) for spec in (*self.past_specs, *self._cross_specs)}
        feeds = self._named_feeds(self.first, cache, input_ids, empty, has_past=False)
        names = ["logits", *self._present_names, *self._cross_names] if self.keeps_states else ["logits"]
        logits, *present = run_graph(self.first, names, feeds)
        if self.keeps_states:
            own, cross = present[: len(self.past_specs)], present[len(self.past_specs) :]
            cache.states = {spec.name: state for spec, state in zip(self.past_specs, own, strict=True)}
            states = {spec.name: state for spec, state in zip(self._cross_specs, cross, strict=True)}
            cache.encoded = EncodedInputs(states, cache.encoded.attention_mask, cache.encoded.last_hidden_state)
        return _as_scores(logits)

    def _run_step(self, cache: HiddenStateCache, input_ids: TokenIds) -> NDArray[np.float32]:
        past = {**cache.states, **cache.encoded.states}
        feeds = self._named_feeds(self.decoder, cache, input_ids, past, has_past=True)
        # Cross-attention's keys and values stay those of the first call: later outputs are absent, or of no rows.
        logits, *present = run_graph(self.decoder, ["logits", *self._present_names], feeds)
        cache.states = {spec.name: state for spec, state in zip(self.past_specs, present, strict=True)}
        cache.length += input_ids.shape[1]
        return _as_scores(logits)

    def _named_feeds(
        self, session: Session, cache: HiddenStateCache, ids: TokenIds, past: Mapping[str, Any], *, has_past: bool
    ) -> dict[str, Any]:
        rows, tokens = ids.shape
        start = cache.length if self.keeps_states else 0
        arrays: dict[str, Array] = {
            "input_ids": ids,
            "decoder_input_ids": ids,
            "attention_mask": np.ones((rows, start + tokens), dtype=np.int64),
            "decoder_attention_mask": np.ones((rows, start + tokens), dtype=np.int64),
            "cache_position": np.arange(start, start + tokens),
            "position_ids": np.broadcast_to(np.arange(start, start + tokens), ids.shape),
            _MASK: cache.encoded.attention_mask,
            _BRANCH: np.array([has_past]),
        }
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        values = {**past, _HIDDEN: cache.encoded.last_hidden_state}
        return {
            spec.name: values[spec.name]
            if spec.name in values
            else ort_value(np.ascontiguousarray(arrays[spec.name].astype(spec.dtype, copy=False)))
            for spec in session.inputs
        }


def _empty(spec: TensorSpec, num_rows: int) -> Any:
    shape = (num_rows, int(spec.shape[1]), 0, int(spec.shape[3]))
    return import_onnxruntime().OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype=spec.dtype))


def _as_scores(logits: Any) -> NDArray[np.float32]:
    return as_array(logits).astype(np.float32, copy=False)
