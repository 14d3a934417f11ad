"""A decoder reads its weights where they lie in the file at first, and packs them once it is used again or for rows."""

import contextlib
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headway.runtime import AutoModelForCausalLM, session_cache
from headway.runtime import session as session_module

PROMPTS = np.array([[5, 9, 13, 21, 8], [7, 11, 30, 2, 45], [31, 4, 4, 18, 27]])


@pytest.fixture
def fresh(causal_lm):
    return AutoModelForCausalLM.from_pretrained(causal_lm.name_or_path, device="cpu")


def assert_tokens_equal(ours, theirs, prompts):
    expected = theirs.generate(torch.tensor(prompts), max_new_tokens=20, do_sample=False).numpy()
    assert np.array_equal(ours.generate(prompts, max_new_tokens=20, do_sample=False), expected)


def disabled_packing(ort_session):
    """Whether ONNX Runtime was told to leave weights as they are; it raises where it was told nothing."""
    with contextlib.suppress(RuntimeError):
        return ort_session.get_session_options().get_session_config_entry("session.disable_prepacking") == "1"
    return False


def test_the_first_text_needs_no_packed_weights_and_the_second_packs_them(fresh, tiny_llama):
    session = fresh.decoder.session
    opened = session.ort_session
    assert not session.options.prepack
    assert disabled_packing(opened)
    assert_tokens_equal(fresh, tiny_llama, PROMPTS[:1])
    assert session.ort_session is opened
    assert_tokens_equal(fresh, tiny_llama, PROMPTS[1:2])
    packed = session.ort_session
    assert packed is not opened
    assert not disabled_packing(packed)
    assert_tokens_equal(fresh, tiny_llama, PROMPTS[2:])
    assert session.ort_session is packed


def test_rows_side_by_side_pack_at_once(fresh, tiny_llama):
    opened = fresh.decoder.session.ort_session
    fresh.generate(PROMPTS, max_new_tokens=1, do_sample=False)
    assert fresh.decoder.session.ort_session is not opened
    assert_tokens_equal(fresh, tiny_llama, PROMPTS)


def test_a_text_that_was_begun_before_goes_on_after(fresh):
    alone = AutoModelForCausalLM.from_pretrained(fresh.name_or_path, device="cpu")
    begun, expected = fresh(PROMPTS[:1]), alone(PROMPTS[:1])
    fresh.generate(PROMPTS, max_new_tokens=4, do_sample=False)
    for token in (3, 14, 15):
        begun = fresh([[token]], past_key_values=begun.past_key_values)
        expected = alone([[token]], past_key_values=expected.past_key_values)
        difference = np.abs(begun.logits - expected.logits).max()
        assert difference < 1e-5 * np.abs(expected.logits).max()


def test_too_little_memory_keeps_the_weights_in_place_until_there_is_enough(fresh, tiny_llama, monkeypatch):
    asked, now = [], [1000.0]
    free = 1000

    def available_memory_bytes():
        asked.append(now[0])
        return free

    monkeypatch.setattr(session_module, "available_memory_bytes", available_memory_bytes)
    monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    opened = fresh.decoder.session.ort_session
    for _ in range(3):
        assert_tokens_equal(fresh, tiny_llama, PROMPTS)
    assert fresh.decoder.session.ort_session is opened
    assert len(asked) == 1
    free = 1 << 40
    assert_tokens_equal(fresh, tiny_llama, PROMPTS)
    assert fresh.decoder.session.ort_session is opened
    now[0] += 61
    assert_tokens_equal(fresh, tiny_llama, PROMPTS)
    assert fresh.decoder.session.ort_session is not opened


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_graph_that_is_another_by_now_is_not_opened_in_the_middle(fresh, tiny_llama, change, tmp_path):
    folder = shutil.copytree(fresh.name_or_path, tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(folder, device="cpu")
    opened, path = model.decoder.session.ort_session, model.decoder.session.path
    content = path.read_bytes()
    path.unlink()
    if change == "replaced":
        path.write_bytes(content)
    assert_tokens_equal(model, tiny_llama, PROMPTS)
    assert model.decoder.session.ort_session is opened


def test_a_prepared_copy_gives_the_same_tokens(fresh, tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setenv(session_cache.SWITCH, str(tmp_path))
    monkeypatch.setattr(session_cache, "MIN_MODEL_BYTES", 0)
    prepared = AutoModelForCausalLM.from_pretrained(fresh.name_or_path, device="cpu", session_cache=True)
    opened = prepared.decoder.session.ort_session
    assert opened._model_path.startswith(str(tmp_path))
    assert_tokens_equal(prepared, tiny_llama, PROMPTS)
    assert_tokens_equal(prepared, tiny_llama, PROMPTS[:1])
    assert prepared.decoder.session.ort_session is opened
