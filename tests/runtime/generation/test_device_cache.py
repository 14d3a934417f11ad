"""A cache in memory of its own, by the code that a GPU runs: here that memory is the host's, reached by copies only."""

from types import SimpleNamespace

import numpy as np
import pytest
from onnxruntime import OrtValue

from headway.runtime.errors import CacheMemoryError
from headway.runtime.generation import decoder as decoder_module
from headway.runtime.generation import places
from headway.runtime.generation.decoder import Decoder
from headway.runtime.generation.device_cache import DeviceCache
from headway.runtime.generation.places import HOST, Place, place_of
from headway.runtime.generation.recorded_step import recorded_run_options, unrecorded_run_options
from headway.runtime.providers import CPU_PROVIDER, CUDA_PROVIDER
from headway.runtime.session import SessionOptions

APART = Place("cpu", 0, is_separate=True)
PROMPTS = [np.array([3, 5, 7, 11]), np.array([2, 4]), np.array([9, 8, 7, 6, 5, 4, 3])]


@pytest.fixture
def pair(causal_lm, monkeypatch):
    """The same graph with its cache on the host, and with its cache apart."""
    session = causal_lm.decoder.session
    plain = Decoder(session, causal_lm.max_length)
    monkeypatch.setattr(decoder_module, "place_of", lambda session: APART)
    apart = Decoder(session, causal_lm.max_length)

    def bind_copies(feeds):
        """As on CUDA: an input that lies on the host is copied when it is bound; what changes later is not seen."""
        Decoder._bind_small(apart, feeds)
        for spec in apart._small_inputs:
            feeds.binding.bind_ortvalue_input(spec.name, OrtValue.ortvalue_from_numpy(getattr(feeds, spec.name).copy()))

    monkeypatch.setattr(apart, "_bind_small", bind_copies)
    return plain, apart


def greedy(decoder, cache, scores, steps=6):
    """Scores of each step, one after another."""
    gathered = [np.array(scores)]
    for _ in range(steps):
        gathered.append(np.array(decoder.decode(cache, gathered[-1].argmax(-1))))
    return np.stack(gathered)


def both(pair, work):
    """What work gives on each cache; it must be the same to the bit."""
    plain, apart = (work(decoder) for decoder in pair)
    np.testing.assert_array_equal(apart, plain)
    return apart


def test_prompts_and_steps(pair):
    def work(decoder):
        cache = decoder.new_cache(3, 64)
        return greedy(decoder, cache, decoder.extend(cache, PROMPTS))

    assert np.isfinite(both(pair, work)).all()
    assert isinstance(pair[1].new_cache(1, 4), DeviceCache)
    assert not isinstance(pair[0].new_cache(1, 4), DeviceCache)


def test_rows_that_are_extended_one_by_one(pair):
    def work(decoder):
        cache = decoder.new_cache(3, 64)
        decoder.extend(cache, PROMPTS)
        decoder.extend_row(cache, 1, np.arange(20, 45))
        scores = decoder.extend(cache, [np.array([1, 2]), np.array([3]), np.array([4, 5, 6])])
        return greedy(decoder, cache, scores)

    both(pair, work)


def test_steps_of_the_first_rows_alone(pair):
    def work(decoder):
        cache = decoder.new_cache(3, 32)
        scores = decoder.extend(cache, PROMPTS)
        decoder.decode(cache.leading(2), scores[:2].argmax(-1))
        assert cache.lengths.tolist() == [5, 3, 7]
        return greedy(decoder, cache, decoder.decode(cache, np.array([1, 2, 3])))

    both(pair, work)


def test_a_cache_that_grows(pair):
    def work(decoder):
        cache = decoder.new_cache(3, 8)
        scores = greedy(decoder, cache, decoder.extend(cache, PROMPTS))
        assert cache.capacity > 8
        return scores

    both(pair, work)


@pytest.mark.parametrize("rows", [[0, 0, 2], [2, 0, 1], [1], [0, 1, 2, 2, 0], [0, 1, 2]], ids=str)
def test_rows_that_are_chosen_again(pair, rows):
    def work(decoder):
        cache = decoder.new_cache(3, 32)
        decoder.decode(cache, decoder.extend(cache, PROMPTS).argmax(-1))
        cache.select(np.array(rows))
        assert cache.num_rows == len(rows)
        return greedy(decoder, cache, decoder.decode(cache, np.arange(len(rows)) + 1))

    both(pair, work)


def test_beginnings_are_kept_on_the_host_and_put_back(pair):
    def work(decoder):
        cache = decoder.new_cache(2, 32)
        decoder.extend(cache, PROMPTS[:2])
        states = cache.copy_row(0, 3)
        assert all(isinstance(state, np.ndarray) and state.shape[2] == 3 for state in states)
        other = decoder.new_cache(2, 32)
        decoder.extend(other, [np.array([1]), np.array([1])])
        other.fill_row(1, PROMPTS[0][:3], states)
        assert other.row_ids(1).tolist() == [3, 5, 7]
        return greedy(decoder, other, decoder.extend(other, [np.array([2]), np.array([11])]))

    both(pair, work)


def test_the_caches_of_one_precision_and_the_other_are_one(causal_lm, monkeypatch):
    monkeypatch.setattr(decoder_module, "place_of", lambda session: APART)
    session = causal_lm.decoder.session
    decoder = Decoder(session, causal_lm.max_length, prefill=session)
    cache = decoder.new_cache(1, 64)
    assert greedy(decoder, cache, decoder.extend(cache, [np.arange(1, 31)])).shape[0] == 7


def test_a_step_at_fixed_addresses(pair, causal_lm, monkeypatch):
    """What CUDA would record: the same binding every time, told nothing but what lies at its addresses."""
    plain, _ = pair
    session = causal_lm.decoder.session
    monkeypatch.setattr(session, "options", SessionOptions("cpu", cuda_graph=True))
    recorded = Decoder(session, causal_lm.max_length)
    caches = plain.new_cache(3, 64), recorded.new_cache(3, 64)
    expected, got = (
        greedy(decoder, cache, decoder.extend(cache, PROMPTS), steps=8)
        for decoder, cache in zip((plain, recorded), caches, strict=True)
    )
    np.testing.assert_allclose(got, expected, atol=1e-5)
    step = caches[1].bound_step
    assert step.fixed is not None
    assert step.total_sequence_length == caches[1].capacity
    bound = dict(step.binding._bound_inputs)
    recorded.decode(caches[1], np.array([1, 2, 3]))
    assert caches[1].bound_step is step
    assert dict(step.binding._bound_inputs) == bound


def test_every_recording_has_a_number_of_its_own():
    ids = [options.get_run_config_entry("gpu_graph_id") for options in (recorded_run_options(), recorded_run_options())]
    assert len(set(ids)) == 2
    assert all(int(number) > 0 for number in ids)
    assert unrecorded_run_options().get_run_config_entry("gpu_graph_id") == "-1"


def test_where_a_session_computes():
    def session(provider, options):
        return SimpleNamespace(
            provider=provider, ort_session=SimpleNamespace(get_provider_options=lambda: {provider: options})
        )

    assert place_of(session(CPU_PROVIDER, {})) == HOST
    assert place_of(session(CUDA_PROVIDER, {"device_id": "2"})) == Place("cuda", 2, is_separate=True)


def test_a_device_without_room_says_how_much_was_needed(monkeypatch):
    def refuse(*given):
        raise RuntimeError("CUDA failure 2: out of memory")

    fake = SimpleNamespace(OrtValue=SimpleNamespace(ortvalue_from_shape_and_type=refuse))
    monkeypatch.setattr(places, "import_onnxruntime", lambda: fake)
    with pytest.raises(CacheMemoryError, match=r"80 bytes do not fit into the memory of cuda:1: CUDA failure 2"):
        Place("cuda", 1, is_separate=True).empty((2, 10), "float32")
