"""A decoder that reads its weights where they lie in the file, and packs them once many rows run side by side."""

import numpy as np
import pytest
import torch

from headway.runtime import AutoModelForCausalLM
from headway.runtime import session as session_module

PROMPTS = np.array([[5, 9, 13, 21, 8], [7, 11, 30, 2, 45], [31, 4, 4, 18, 27]])


@pytest.fixture
def fresh(causal_lm):
    return AutoModelForCausalLM.from_pretrained(causal_lm.name_or_path, device="cpu")


def test_a_single_row_needs_no_packed_weights(fresh, tiny_llama):
    session = fresh.decoder.session
    expected = tiny_llama.generate(torch.tensor(PROMPTS[:1]), max_new_tokens=20, do_sample=False).numpy()
    assert np.array_equal(fresh.generate(PROMPTS[:1], max_new_tokens=20, do_sample=False), expected)
    assert not session.options.prepack
    assert session._packed is None


def test_rows_side_by_side_run_on_packed_weights(fresh, tiny_llama):
    expected = tiny_llama.generate(torch.tensor(PROMPTS), max_new_tokens=20, do_sample=False).numpy()
    assert np.array_equal(fresh.generate(PROMPTS, max_new_tokens=20, do_sample=False), expected)
    packed = fresh.decoder.session.packed()
    assert packed is fresh.decoder.session._packed is packed.packed()
    assert packed.options.prepack


def test_many_prompts_one_by_one_pack_too(fresh):
    for _ in range(40):
        fresh(PROMPTS[:1])
    assert fresh.decoder.session._packed is not None


def test_too_little_memory_keeps_the_weights_in_place(fresh, tiny_llama, monkeypatch):
    monkeypatch.setattr(session_module, "available_memory_bytes", lambda: 1000)
    expected = tiny_llama.generate(torch.tensor(PROMPTS), max_new_tokens=8, do_sample=False).numpy()
    assert np.array_equal(fresh.generate(PROMPTS, max_new_tokens=8, do_sample=False), expected)
    assert fresh.decoder.session.packed() is fresh.decoder.session
