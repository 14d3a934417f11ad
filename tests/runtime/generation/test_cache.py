import numpy as np
import pytest

from headway.runtime.errors import CacheMemoryError, InputTooLongError
from headway.runtime.generation import memory
from headway.runtime.generation.cache import BufferSpec, SharedBufferCache

SPECS = [
    BufferSpec("past.key", "present.key", 2, 4, "float32"),
    BufferSpec("past.value", "present.value", 2, 4, "float32"),
]


def filled(lengths, capacity=8, **options):
    """A cache whose buffers hold row * 100 + token everywhere, and whose token ids are row * 10 + position."""
    cache = SharedBufferCache(SPECS, len(lengths), capacity, **options)
    for row, length in enumerate(lengths):
        for buffer in cache.buffers:
            buffer[row, :, :length] = (100 * row + np.arange(length))[None, :, None]
        cache.record(row, 10 * row + np.arange(length))
    return cache


def contents(cache):
    """Every row's tokens, as its buffers have them."""
    for buffer in cache.buffers[1:]:
        np.testing.assert_array_equal(buffer, cache.buffers[0])
    return [cache.buffers[0][row, 0, :length, 0].tolist() for row, length in enumerate(cache.lengths)]


def test_rows_have_their_own_lengths():
    cache = filled([3, 1])
    assert cache.lengths.tolist() == [3, 1]
    assert cache.row_ids(0).tolist() == [0, 1, 2]
    assert cache.row_ids(1).tolist() == [10]
    assert cache.get_seq_length() == 3
    assert cache.size_bytes == 2 * 2 * 2 * 8 * 4 * 4


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 1, 0], [1, 1, 1], [0, 0, 2], [2, 0, 1]])
def test_rows_are_permuted_and_repeated_in_place(rows):
    cache = filled([3, 1, 2])
    buffers, before = cache.buffers, contents(cache)
    ids = [cache.row_ids(row).tolist() for row in range(3)]
    cache.select(np.array(rows))
    assert contents(cache) == [before[row] for row in rows]
    assert [cache.row_ids(row).tolist() for row in range(3)] == [ids[row] for row in rows]
    assert all(one is other for one, other in zip(buffers, cache.buffers, strict=True))


@pytest.mark.parametrize("rows", [[1], [0, 0, 1, 1, 1], [2, 0]])
def test_there_may_be_more_rows_or_fewer(rows):
    cache = filled([3, 1, 2])
    before = contents(cache)
    cache.select(np.array(rows))
    assert contents(cache) == [before[row] for row in rows]
    assert cache.num_rows == len(rows)


def test_growing_keeps_what_is_there():
    cache = filled([3, 1], capacity=4)
    before = contents(cache)
    cache.bound_step = "bound to the old buffers"
    cache.reserve(5)
    assert cache.capacity == 4 + 256
    assert contents(cache) == before
    assert cache.row_ids(0).tolist() == [0, 1, 2]
    assert cache.bound_step is None


def test_what_fits_does_not_grow():
    cache = filled([3], capacity=4)
    buffers = cache.buffers
    cache.reserve(4)
    assert cache.buffers is buffers


def test_a_cache_ends_where_the_model_does():
    cache = filled([3], capacity=4, max_capacity=6)
    cache.reserve(5)
    assert cache.capacity == 6
    with pytest.raises(InputTooLongError, match=r"7 tokens are needed .* the model takes 6"):
        cache.reserve(7)


def test_truncating_forgets_the_end_of_one_row():
    cache = filled([3, 2])
    cache.truncate(0, 1)
    cache.truncate(1, 5)
    assert cache.lengths.tolist() == [1, 2]
    assert cache.row_ids(0).tolist() == [0]


def test_a_row_is_a_view():
    cache = filled([3, 1])
    row = cache.row(1)
    assert np.shares_memory(row.buffers[0], cache.buffers[0])
    assert row.buffers[0].flags.c_contiguous
    row.buffers[0][0, :, 1] = 7
    row.record(0, np.array([99]))
    assert cache.lengths.tolist() == [3, 2]
    assert cache.row_ids(1).tolist() == [10, 99]
    assert cache.buffers[0][1, 0, 1, 0] == 7


def test_states_go_out_and_come_back():
    cache, other = filled([3, 1]), filled([2, 2])
    states = cache.copy_row(0, 2)
    other.fill_row(1, np.array([5, 6]), states)
    assert contents(other) == [[0, 1], [0, 1]]
    assert other.row_ids(1).tolist() == [5, 6]
    assert not np.shares_memory(states[0], cache.buffers[0])


def test_buffers_are_what_onnx_runtime_sees():
    cache = filled([1])
    cache.buffers[0][0, 0, 0, 0] = 42
    assert cache.ort_values[0].numpy()[0, 0, 0, 0] == 42


def test_a_cache_that_does_not_fit_is_refused_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 10_000)
    monkeypatch.setattr(np, "zeros", lambda *args, **kwargs: pytest.fail("something was allocated"))
    with pytest.raises(CacheMemoryError, match="3 x 1000 tokens needs 192,000 bytes; 10,000 are free"):
        SharedBufferCache(SPECS, 3, 1000)


def test_a_cache_that_cannot_grow_stays_as_it_was(monkeypatch):
    cache = filled([3, 1], capacity=4)
    before = contents(cache)
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 10_000)
    with pytest.raises(CacheMemoryError):
        cache.reserve(1000)
    with pytest.raises(CacheMemoryError):
        cache.select(np.zeros(1000, dtype=int))
    assert contents(cache) == before
