"""Random calls of generate(): options of every kind mixed, for soak runs and for comparison with transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

VOCAB_SIZE = 60
FIRST_TEXT_ID, PAD = 3, 0
SAMPLING_ONLY = frozenset(
    {"temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff", "seed"}
)


@dataclass
class Call:
    """One call.

    Args:
        rows: the prompts, (tokens,) int64 each.
        side: where they are padded.
        options: of generate(), the plain ones.
        extras: names of what is made for the call: streamer, logits_processor, stopping_criteria …
    """

    rows: list[np.ndarray]
    side: str
    options: dict[str, Any]
    extras: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """``input_ids`` and ``attention_mask``, padded."""
        width = max(map(len, self.rows))
        ids = np.full((len(self.rows), width), PAD, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(self.rows):
            columns = slice(width - len(tokens), None) if self.side == "left" else slice(0, len(tokens))
            ids[row, columns], mask[row, columns] = tokens, 1
        return {"input_ids": ids, "attention_mask": mask}

    @property
    def is_ragged(self) -> bool:
        """Whether there is padding."""
        return len({len(tokens) for tokens in self.rows}) > 1


class RandomCalls:
    """Draws calls; the same seed gives the same ones.

    Args:
        seed: of the generator.
        max_prompt: longest prompt.
        max_new: most new tokens.
    """

    def __init__(self, seed: int, *, max_prompt: int = 40, max_new: int = 24) -> None:
        self.random = np.random.default_rng(seed)
        self.max_prompt, self.max_new = max_prompt, max_new

    def draw(self) -> Call:
        """A call with any options, contradictory ones included."""
        call = self._call(int(self.random.integers(1, 6)), is_ragged=self._chance(0.7))
        self._add(call.options, _SHARED, 0.12)
        self._add(call.options, _LENGTHS, 0.08)
        if self._chance(0.4):
            call.options["do_sample"] = True
            self._add(call.options, _SAMPLING, 0.35)
        if self._chance(0.35):
            call.options["num_beams"] = int(self.random.integers(2, 6))
            self._add(call.options, _BEAMS, 0.4)
        self._add(call.options, _RETURNED, 0.2)
        self._add(call.options, _LOOKUP, 0.1)
        call.extras = [name for name in EXTRAS if self._chance(0.12)]
        return call

    def draw_comparable(self, *, is_decoder: bool) -> Call:
        """A greedy or beam call whose options mean the same for transformers, row by row where there is padding.

        Options that count columns of the batch, or that look at an input's padding, come without padding.
        """
        call = self._call(int(self.random.integers(1, 4)), is_ragged=self._chance(0.5))
        self._add(call.options, {name: draw for name, draw in _SHARED.items() if name != "max_time"}, 0.2)
        self._add(call.options, {"eos_token_id": _SHARED["eos_token_id"]}, 0.5)
        if self._chance(0.6):
            call.options["num_beams"] = int(self.random.integers(2, 6))
            self._add(call.options, _BEAMS, 0.5)
            if "num_return_sequences" in call.options:
                most = call.options["num_beams"]
                call.options["num_return_sequences"] = min(call.options["num_return_sequences"], most)
        if not call.is_ragged:
            self._add(call.options, _LENGTHS, 0.15)
        elif is_decoder:
            call.options.pop("forced_bos_token_id", None)
        ends = call.options.get("eos_token_id")
        if isinstance(ends, list) and self._chance(0.6):
            # Ends that are likely: beams finish early and often.
            call.options["sequence_bias"] = [[[end], self.number(4, 12)] for end in ends]
            call.options["renormalize_logits"] = True
        if call.options.get("num_return_sequences", 1) > 1:
            # Where every beam is forced to the same end, places stay empty, and which one comes first is a tie.
            call.options.pop("forced_bos_token_id", None)
            call.options.pop("forced_eos_token_id", None)
        if isinstance(call.options.get("forced_eos_token_id"), list):
            # Several forced ends are equally likely: which comes first is nobody's promise.
            call.options["forced_eos_token_id"] = call.options["forced_eos_token_id"][0]
        return call

    def _call(self, num_rows: int, *, is_ragged: bool) -> Call:
        lengths = self.random.integers(1, self.max_prompt + 1, num_rows)
        rows = [
            self.random.integers(FIRST_TEXT_ID, VOCAB_SIZE, length if is_ragged else lengths[0]) for length in lengths
        ]
        options = {"max_new_tokens": int(self.random.integers(1, self.max_new + 1)), "do_sample": False}
        return Call(rows, str(self.random.choice(["left", "right"])), options)

    def _add(self, options: dict[str, Any], table: dict[str, Any], share: float) -> None:
        for name, draw in table.items():
            if self._chance(share):
                options[name] = draw(self)
        if "max_length" in options:
            options.pop("max_new_tokens", None)

    def _chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def tokens(self, most: int, least: int = 1) -> list[int]:
        """Some token ids, each once."""
        count = int(self.random.integers(least, most + 1))
        return self.random.choice(np.arange(1, VOCAB_SIZE), count, replace=False).tolist()

    def number(self, low: float, high: float) -> float:
        """A number with two digits after the point."""
        return round(float(self.random.uniform(low, high)), 2)

    def integer(self, low: int, high: int) -> int:
        """An integer, both ends included."""
        return int(self.random.integers(low, high + 1))

    def one_of(self, *values: Any) -> Any:
        """One of the values."""
        return values[int(self.random.integers(len(values)))]


# Option → draw of its value. What both decoders and encoder-decoders take, for greedy search, sampling and beams.
_SHARED = {
    "eos_token_id": lambda calls: calls.one_of(None, 2, calls.tokens(3), calls.tokens(12, 5)),
    "pad_token_id": lambda calls: calls.one_of(PAD, 7),
    "min_new_tokens": lambda calls: calls.integer(0, 12),
    "repetition_penalty": lambda calls: calls.number(0.6, 2.0),
    "no_repeat_ngram_size": lambda calls: calls.integer(1, 4),
    "bad_words_ids": lambda calls: [calls.tokens(1) for _ in range(4)] + [calls.tokens(3, 2)],
    "sequence_bias": lambda calls: [[calls.tokens(1), calls.number(-8, 8)], [calls.tokens(2, 2), calls.number(-8, 8)]],
    "renormalize_logits": lambda calls: True,
    "remove_invalid_values": lambda calls: True,
    "forced_bos_token_id": lambda calls: calls.tokens(1)[0],
    "forced_eos_token_id": lambda calls: calls.one_of(2, calls.tokens(2)),
    "exponential_decay_length_penalty": lambda calls: (calls.integer(0, 8), calls.number(0.7, 1.8)),
    "suppress_tokens": lambda calls: calls.tokens(20),
    "begin_suppress_tokens": lambda calls: calls.tokens(20),
    "max_time": lambda calls: calls.one_of(0.0, 60.0),
    "use_cache": lambda calls: calls.one_of(True, False),
}
_LENGTHS = {
    "max_length": lambda calls: calls.integer(calls.max_prompt + 1, calls.max_prompt + calls.max_new),
    "min_length": lambda calls: calls.integer(0, calls.max_prompt + 12),
    "encoder_repetition_penalty": lambda calls: calls.number(0.6, 2.0),
    "encoder_no_repeat_ngram_size": lambda calls: calls.integer(1, 4),
}
_SAMPLING = {
    "temperature": lambda calls: calls.number(0.1, 3.0),
    "top_k": lambda calls: calls.integer(0, 70),
    "top_p": lambda calls: calls.number(0.05, 1.0),
    "min_p": lambda calls: calls.number(0.0, 0.9),
    "top_h": lambda calls: calls.number(0.1, 1.0),
    "typical_p": lambda calls: calls.number(0.1, 1.0),
    "epsilon_cutoff": lambda calls: calls.number(0.01, 0.5),
    "eta_cutoff": lambda calls: calls.number(0.01, 0.5),
    "seed": lambda calls: calls.integer(0, 1000),
    "num_return_sequences": lambda calls: calls.integer(1, 4),
}
_BEAMS = {
    "length_penalty": lambda calls: calls.number(-2.0, 3.0),
    "early_stopping": lambda calls: calls.one_of(True, False, "never"),
    "num_return_sequences": lambda calls: calls.integer(1, 5),
}
_RETURNED = {
    "return_dict_in_generate": lambda calls: True,
    "output_scores": lambda calls: True,
    "output_logits": lambda calls: True,
}
_LOOKUP = {
    "prompt_lookup_num_tokens": lambda calls: calls.integer(1, 8),
    "max_matching_ngram_size": lambda calls: calls.integer(1, 4),
}
EXTRAS = ("streamer", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "stop_strings", "no_mask")
