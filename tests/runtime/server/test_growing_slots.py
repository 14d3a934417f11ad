"""Sequences that come and go in one batch of a graph that returns its past anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_layouts import DECODERS

from headway.runtime import load_model
from headway.runtime.server.engine.growing_slots import StackedSlots

TEXTS = {0: [4, 9, 5, 17, 3], 1: [8, 6], 2: [12, 12, 7], 3: [20]}


@pytest.fixture(params=["optimum", "optimum-trio", "optimum-merged", "optimum-without-cache"])
def slots(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Four places in an empty batch, and the logits that the layout has to give."""
    write, logits, _ = DECODERS[request.param]
    decoder = load_model(write(tmp_path), "text-generation", device="cpu", num_threads=1).decoder
    assert decoder.takes_padded_rows
    return StackedSlots(decoder, 4), logits


class Texts:
    """What each slot holds, and what the slots have to say about it."""

    def __init__(self, slots: StackedSlots, logits: Any) -> None:
        self.slots = slots
        self.logits = logits
        self.held: dict[int, list[int]] = {}

    def start(self, name: int) -> None:
        slot, num_cached = self.slots.open(np.array(TEXTS[name]))
        assert (slot in self.held, num_cached) == (False, 0)
        self.held[slot] = list(TEXTS[name])
        for tokens in (TEXTS[name][:1], TEXTS[name][1:]):
            if tokens:
                last = self.slots.extend(slot, np.array(tokens))
        np.testing.assert_allclose(last, self.logits(self.held[slot])[-1], atol=2e-4)

    def step(self, tokens: dict[int, int]) -> None:
        found = self.slots.decode(tokens)
        assert set(found) == set(tokens)
        for slot, token in tokens.items():
            self.held[slot].append(token)
            np.testing.assert_allclose(found[slot], self.logits(self.held[slot])[-1], atol=2e-4)

    def end(self, slot: int) -> None:
        self.slots.close(slot, keep=False)
        del self.held[slot]


def test_sequences_join_and_leave(slots: tuple[StackedSlots, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    places, logits = slots
    texts = Texts(places, logits)
    texts.start(0)
    texts.start(1)
    texts.step({0: 7, 1: 11})
    texts.start(2)
    decoder = places._decoder
    calls: list[Any] = []
    monkeypatch.setattr(decoder, "_call", lambda *given, call=decoder._call: calls.append(given) or call(*given))
    texts.step({0: 2, 1: 3, 2: 4})
    assert len(calls) == 1
    assert calls[0][1].shape[0] == 3
    # The longest leaves, and with it the columns that only it had.
    texts.end(0)
    assert places._batch is not None
    assert places._batch.mask.shape == (2, 4)
    texts.step({1: 9, 2: 9})
    texts.start(3)
    assert places.num_free == 1
    texts.end(0)
    # One pauses: it steps apart from the others, and joins them again.
    texts.step({2: 5})
    texts.step({1: 6, 2: 6})
    texts.end(1)
    texts.end(2)
    assert (places.num_free, places._batch) == (4, None)
    texts.start(1)
    texts.step({0: 13})
