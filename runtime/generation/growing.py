"""Decoder graphs that take a past and return a longer present, with an attention mask over both.

What a graph keeps is found by name: keys and values that grow by the tokens of a call, and states of fixed size
(convolution, recurrent). Rows of different lengths are right-aligned in each call, and the mask says what counts. A
graph that takes one token or one row at a time, or no mask, is fed each row by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bfloat16 import as_array
from ..errors import InputError, InputTooLongError, UnsupportedFormatError
from ..providers import import_onnxruntime
from ..session import Session
from .graph_facts import GraphFacts
from .graph_pairs import require_one_model
from .graph_states import StateSpec, state_specs
from .growing_cache import GrowingCache
from .growing_feeds import graph_feeds, require_known_inputs
from .history import Scores, TokenIds


class GrowingDecoder:
    """Runs a past-to-present graph on caches that it makes; see :class:`.network.TokenDecoder`.

    Args:
        session: the graph that runs tokens on top of others.
        max_positions: how many positions the model has; None for no limit.
        facts: what the folder says of the graph.
        prefill: the graph that runs a row's first tokens, where that is another one.
        embeddings: the graph that makes ``inputs_embeds`` of token ids, where the others take these.

    Raises:
        UnsupportedFormatError: a graph has an input that nothing is known for, or a cache that cannot be used.
    """

    def __init__(
        self,
        session: Session,
        max_positions: int | None = None,
        facts: GraphFacts | None = None,
        prefill: Session | None = None,
        embeddings: Session | None = None,
    ) -> None:
        self.session = session
        self.prefill_session = prefill or session
        self.facts = facts or GraphFacts()
        self.specs = state_specs(session, self.facts)
        self.max_positions = max_positions
        self.vocab_size = self.facts.vocab_size_of(session)
        self._embeddings = embeddings
        for graph in {session, self.prefill_session}:
            require_known_inputs(graph, self.facts, has_embeddings=embeddings is not None)
        self._output_names = self._named_outputs(session, [spec.present_name for spec in self.specs])
        self._prefill_output_names = self._named_outputs(self.prefill_session, self._prefill_presents())
        require_one_model(self.prefill_session, session, self._prefill_output_names, self.facts.own_name("logits"))
        self._takes_mask = self.facts.own_name("attention_mask") in session.input_names
        self._has_fixed_state = any(spec.growing_axis is None for spec in self.specs)

    @property
    def takes_padded_rows(self) -> bool:
        """Whether rows of different lengths can take a step together."""
        can_tell_padding = self._takes_mask or all(spec.growing_axis is None for spec in self.specs)
        return can_tell_padding and not isinstance(self._token_axes(self.session)[0], int)

    def new_cache(self, num_rows: int, capacity: int) -> GrowingCache:
        """An empty cache; it grows with the tokens, and ``capacity`` of them have to fit into memory."""
        return GrowingCache(self.specs, num_rows, capacity)

    def decode(self, cache: GrowingCache, tokens: TokenIds) -> Scores:
        """Append one token to every row; (rows, vocab) float32."""
        is_padded = not cache.mask.all()
        if self._takes_fewer(cache) or (is_padded and not self._takes_mask and not self._has_fixed_state):
            rows = list(tokens[:, None])
            return np.stack([logits[-1] for logits in self._run_apart(cache, rows, self._score_row)])
        return self._run(cache, tokens[:, None], np.ones((len(tokens), 1), dtype=np.int64), num_logits=1)[:, 0]

    def extend(self, cache: GrowingCache, rows: Sequence[TokenIds]) -> Scores:
        """Append tokens to every row; (rows, vocab) float32, the logits after each row's last token."""
        if self._must_run_apart(cache, rows):
            return np.stack([logits[-1] for logits in self._run_apart(cache, rows, self._extend_row)])
        return self._run(cache, *_right_aligned(rows), num_logits=1)[:, 0]

    def score(self, cache: GrowingCache, rows: Sequence[TokenIds]) -> list[Scores]:
        """Append tokens to every row; the logits after each of them, (tokens, vocab) float32 per row."""
        if self._must_run_apart(cache, rows) or self._gives_last_only(cache):
            return self._run_apart(cache, rows, self._score_row)
        block, mask = _right_aligned(rows)
        logits = self._run(cache, block, mask, num_logits=block.shape[1])
        return [row_logits[-len(tokens) :] for row_logits, tokens in zip(logits, rows, strict=True)]

    def _must_run_apart(self, cache: GrowingCache, rows: Sequence[TokenIds]) -> bool:
        """A padded row takes its padding into a recurrent state, and into the attention of a graph without a mask."""
        if self._takes_one_token(cache) or self._takes_fewer(cache):
            return True
        is_ragged = len({len(tokens) for tokens in rows}) > 1 or not cache.mask.all()
        return is_ragged and not self._takes_mask

    def _run_apart(
        self,
        cache: GrowingCache,
        rows: Sequence[TokenIds],
        run_row: Callable[[GrowingCache, TokenIds], Scores],
    ) -> list[Scores]:
        """Rows run by themselves and meet again, shorter ones padded on the left."""
        caches = [cache.only(row) for row in range(len(rows))] if len(rows) > 1 else [cache]
        if not self._takes_mask and not self._has_fixed_state:
            caches = [one.without_padding() for one in caches]
        logits = [run_row(one, tokens) for one, tokens in zip(caches, rows, strict=True)]
        if len(rows) > 1:
            cache.copy_from(GrowingCache.stacked(caches))
        return logits

    def _extend_row(self, one: GrowingCache, tokens: TokenIds) -> Scores:
        if self._takes_one_token(one):
            return self._score_row(one, tokens)
        return self._run_one(one, tokens, num_logits=1)

    def _score_row(self, one: GrowingCache, tokens: TokenIds) -> Scores:
        if self._takes_one_token(one) or self._gives_last_only(one):
            steps = range(len(tokens))
            return np.concatenate([self._run_one(one, tokens[step : step + 1], 1).copy() for step in steps])
        return self._run_one(one, tokens, len(tokens))

    def _run_one(self, one: GrowingCache, tokens: TokenIds, num_logits: int) -> Scores:
        logits: Scores = self._run(one, tokens[None], np.ones((1, len(tokens)), dtype=np.int64), num_logits)[0]
        return logits

    def _graph(self, cache: GrowingCache) -> Session:
        return self.session if cache.mask.shape[1] else self.prefill_session

    def _takes_one_token(self, cache: GrowingCache) -> bool:
        graph = self._graph(cache)
        if graph is not self.prefill_session:
            # What was traced on one token does not always take several, whatever it declares.
            return True
        return bool(self.specs) and self._token_axes(graph)[1] == 1

    def _takes_fewer(self, cache: GrowingCache) -> bool:
        """Whether a graph that was exported for a single row is asked for more."""
        return cache.num_rows > 1 and self._token_axes(self._graph(cache))[0] == 1

    def _token_axes(self, graph: Session) -> tuple[str | int, ...]:
        """Axes of the input that takes the tokens: (batch, tokens, …)."""
        name = self.facts.own_name("input_ids" if self._embeddings is None else "inputs_embeds")
        return next(spec.shape for spec in graph.inputs if spec.name == name)

    def _gives_last_only(self, cache: GrowingCache) -> bool:
        shapes = {spec.name: spec.shape for spec in self._graph(cache).outputs}
        return shapes[self.facts.own_name("logits")][1] == 1

    def _run(self, cache: GrowingCache, block: TokenIds, mask: NDArray[np.int64], num_logits: int) -> Scores:
        """Run right-aligned (rows, tokens) ids; logits of the last ``num_logits`` columns."""
        lengths = cache.lengths + mask.sum(axis=1, dtype=np.int32)
        if self.max_positions is not None and int(lengths.max()) > self.max_positions:
            raise InputTooLongError(
                f"{int(lengths.max())} tokens are needed with those in the cache; the model takes "
                f"{self.max_positions}. Start a new cache or shorten the input."
            )
        full_mask = np.concatenate([cache.mask, mask], axis=1)
        columns = np.concatenate([cache.columns, block], axis=1)
        # A graph that keeps nothing begins at the first token each time.
        outputs = self._call(cache, block if self.specs else columns, full_mask, num_logits)
        cache.states = outputs[1:]
        cache.mask, cache.columns, cache.lengths = full_mask, columns, lengths
        logits = as_array(outputs[0])
        return logits[:, -num_logits:].astype(np.float32, copy=False)

    def _call(self, cache: GrowingCache, block: TokenIds, full_mask: NDArray[np.int64], num_logits: int) -> list[Any]:
        session = self._graph(cache)
        is_prefill = not cache.mask.shape[1]
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        feeds = graph_feeds(session, self.facts, block, full_mask, num_logits, has_past=not is_prefill)
        values = {name: ort_value(value) for name, value in feeds.items()}
        for spec, state in zip(self.specs, cache.states, strict=True):
            if spec.past.name in session.input_names:
                values[spec.past.name] = state
        if self._embeddings is not None:
            values[self.facts.own_name("inputs_embeds")] = self._embedded(block)
        names = self._prefill_output_names if is_prefill else self._output_names
        try:
            outputs: list[Any] = session.ort_session.run_with_ort_values(names, values)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"ONNX Runtime could not run {session.path.name} on ids {block.shape}: {first}") from error
        return outputs

    def _embedded(self, block: TokenIds) -> Any:
        session = self._embeddings or self.session
        feeds = graph_feeds(session, self.facts, block, np.ones_like(block), 0, has_past=False)
        values = {name: import_onnxruntime().OrtValue.ortvalue_from_numpy(value) for name, value in feeds.items()}
        return session.ort_session.run_with_ort_values([session.output_names[0]], values)[0]

    def _prefill_presents(self) -> list[str]:
        """The exporter of transformers calls what a prefill gives by the cache's own name."""
        if self.prefill_session is self.session:
            return [spec.present_name for spec in self.specs]
        known = self.prefill_session.output_names
        return [_first_known(spec, known) for spec in self.specs]

    def _named_outputs(self, session: Session, presents: Sequence[str]) -> list[str]:
        names = [self.facts.own_name("logits"), *presents]
        missing = [name for name in names if name not in session.output_names]
        if missing:
            raise UnsupportedFormatError(
                f"{session.path} gives {', '.join(session.output_names[:4])} …; {', '.join(missing[:4])} "
                f"{'is' if len(missing) == 1 else 'are'} needed too. Export the checkpoint with `headway export`."
            )
        return names


def _first_known(spec: StateSpec, known: Sequence[str]) -> str:
    candidates = (spec.present_name, spec.past.name.removeprefix("input."))
    return next((name for name in candidates if name in known), spec.present_name)


def _right_aligned(rows: Sequence[TokenIds]) -> tuple[TokenIds, NDArray[np.int64]]:
    """(rows, tokens) ids padded on the left with zeros, and their mask."""
    width = max(map(len, rows))
    block, mask = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width), dtype=np.int64)
    for row, tokens in enumerate(rows):
        block[row, width - len(tokens) :] = tokens
        mask[row, width - len(tokens) :] = 1
    return block, mask
