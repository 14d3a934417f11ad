"""Decoder graphs of each kind against PyTorch: prefill in one call, by rows and in chunks, and step by step."""

import numpy as np
import pytest
import torch

from headway.runtime.errors import InputError, InputTooLongError, OptionError
from headway.runtime.generation import decoder as decoder_module

ROWS = [np.array([5, 6, 7, 8, 9, 10, 11, 12, 13]), np.array([20, 21, 22, 23]), np.array([30])]
MODELS = {"causal_lm": "tiny_llama", "growing_lm": "tiny_bloom", "recurrent_lm": "tiny_mamba"}


@pytest.fixture(params=MODELS)
def pair(request):
    """A decoder and the torch model it came from."""
    return request.getfixturevalue(request.param).decoder, request.getfixturevalue(MODELS[request.param])


def logits_of(model, tokens):
    with torch.no_grad():
        return model(torch.tensor(tokens)[None]).logits[0].numpy()


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_prefill_and_steps_of_a_ragged_batch(pair):
    decoder, model = pair
    cache = decoder.new_cache(3, 12)
    logits = decoder.extend(cache, ROWS)
    rows = [list(tokens) for tokens in ROWS]
    for _ in range(3):
        for row, tokens in enumerate(rows):
            close(logits[row], logits_of(model, tokens)[-1])
        chosen = logits.argmax(axis=-1)
        rows = [[*tokens, token] for tokens, token in zip(rows, chosen, strict=True)]
        logits = decoder.decode(cache, chosen)
    assert [cache.row_ids(row).tolist() for row in range(3)] == rows


def test_several_tokens_on_top_of_a_past(pair):
    decoder, model = pair
    cache = decoder.new_cache(2, 9)
    decoder.extend(cache, [ROWS[0][:2], ROWS[1][:3]])
    logits = decoder.extend(cache, [ROWS[0][2:], ROWS[1][3:]])
    close(logits[0], logits_of(model, ROWS[0])[-1])
    close(logits[1], logits_of(model, ROWS[1])[-1])


def test_logits_of_every_token(pair):
    decoder, model = pair
    cache = decoder.new_cache(3, 9)
    for tokens, logits in zip(ROWS, decoder.score(cache, ROWS), strict=True):
        close(logits, logits_of(model, tokens))
    more = [np.array([40, 41]), np.array([42]), np.array([43, 44, 45])]
    for tokens, added, logits in zip(ROWS, more, decoder.score(cache, more), strict=True):
        close(logits, logits_of(model, [*tokens, *added])[-len(added) :])


def test_rows_change_places(pair):
    decoder, model = pair
    cache = decoder.new_cache(3, 12)
    decoder.extend(cache, ROWS)
    order = [1, 1, 0, 2]
    cache.select(np.array(order))
    logits = decoder.decode(cache, np.array([50, 51, 52, 53]))
    for position, row in enumerate(order):
        close(logits[position], logits_of(model, [*ROWS[row], 50 + position])[-1])


def test_a_cache_of_one_row_serves_as_it_grows(pair):
    decoder, model = pair
    cache = decoder.new_cache(1, 1)
    tokens = []
    for token in (5, 6, 7, 8):
        tokens.append(token)
        close(decoder.decode(cache, np.array([token]))[0], logits_of(model, tokens)[-1])


@pytest.mark.parametrize("name", ["causal_lm", "growing_lm"])
def test_tokens_are_taken_back(name, request):
    decoder, model = request.getfixturevalue(name).decoder, request.getfixturevalue(MODELS[name])
    cache = decoder.new_cache(2, 9)
    decoder.extend(cache, ROWS[:2])
    cache.truncate(0, 3)
    cache.truncate(1, 4)
    logits = decoder.decode(cache, np.array([50, 51]))
    close(logits[0], logits_of(model, [*ROWS[0][:3], 50])[-1])
    close(logits[1], logits_of(model, [*ROWS[1], 51])[-1])


def test_a_recurrent_state_does_not_go_back(recurrent_lm):
    cache = recurrent_lm.decoder.new_cache(1, 9)
    recurrent_lm.decoder.extend(cache, [ROWS[0]])
    cache.truncate(0, 9)
    with pytest.raises(OptionError, match="recurrent state"):
        cache.truncate(0, 8)


def test_long_prompts_run_in_chunks(causal_lm, tiny_llama, monkeypatch):
    monkeypatch.setattr(decoder_module, "PREFILL_CHUNK_TOKENS", 4)
    calls = []
    original = causal_lm.decoder._run_block

    def run_block(cache, block, *rest, **options):
        calls.append(block.shape)
        return original(cache, block, *rest, **options)

    monkeypatch.setattr(causal_lm.decoder, "_run_block", run_block)
    cache = causal_lm.decoder.new_cache(2, 9)
    logits = causal_lm.decoder.extend(cache, ROWS[:2])
    assert calls == [(1, 4), (1, 4), (1, 1), (1, 4)]
    close(logits[0], logits_of(tiny_llama, ROWS[0])[-1])
    close(logits[1], logits_of(tiny_llama, ROWS[1])[-1])
    cache = causal_lm.decoder.new_cache(1, 9)
    for num_logits in (1, 3, 9):
        cache.truncate(0, 0)
        close(causal_lm.decoder.extend_row(cache, 0, ROWS[0], num_logits), logits_of(tiny_llama, ROWS[0])[-num_logits:])


def test_chunks_of_one_row_are_smaller_on_the_cpu(causal_lm, tiny_llama, monkeypatch):
    monkeypatch.setattr(decoder_module, "_CPU_CHUNK_TOKENS", 4)
    lengths = []
    original = causal_lm.decoder._run_block

    def run_block(cache, block, *rest, **options):
        lengths.append(block.shape[1])
        return original(cache, block, *rest, **options)

    monkeypatch.setattr(causal_lm.decoder, "_run_block", run_block)
    logits = causal_lm.decoder.extend_row(causal_lm.decoder.new_cache(1, 9), 0, ROWS[0])
    assert lengths == [4, 4, 1]
    close(logits[-1], logits_of(tiny_llama, ROWS[0])[-1])


def test_a_step_binds_once(causal_lm, monkeypatch):
    decoder = causal_lm.decoder
    bindings = []
    original = decoder._bind
    monkeypatch.setattr(decoder, "_bind", lambda feeds, cache: bindings.append(1) or original(feeds, cache))
    cache = decoder.new_cache(2, 20)
    decoder.extend(cache, ROWS[1:])
    bindings.clear()
    for token in range(10):
        decoder.decode(cache, np.array([token, token]))
    assert len(bindings) == 1


@pytest.mark.parametrize("name", ["causal_lm", "growing_lm"])
def test_the_models_positions_are_a_limit(name, request):
    loaded = request.getfixturevalue(name)
    decoder = type(loaded.decoder)(loaded.session, max_positions=10)
    cache = decoder.new_cache(1, 4)
    decoder.extend(cache, [ROWS[0]])
    decoder.decode(cache, np.array([5]))
    with pytest.raises(InputTooLongError, match=r"11 tokens are needed .* the model takes 10"):
        decoder.decode(cache, np.array([5]))
    assert cache.lengths.tolist() == [10]


def test_what_onnx_runtime_refuses_is_an_input_error(causal_lm):
    cache = causal_lm.decoder.new_cache(1, 4)
    with pytest.raises(InputError, match="ONNX Runtime could not run the graph"):
        causal_lm.decoder.extend(cache, [np.array([5, 10_000])])
