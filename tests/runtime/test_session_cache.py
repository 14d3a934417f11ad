"""Prepared graphs: made when due, found again, thrown away when anything they depend on changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headway.runtime import session_cache
from headway.runtime.session import Session, SessionOptions
from headway.runtime.session_cache import SWITCH, make_room, prepared_graph


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache that takes graphs of any size."""
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    monkeypatch.setattr(session_cache, "MIN_MODEL_BYTES", 0)
    return tmp_path / "cache"


@pytest.fixture
def graph(minilm_artifact, tmp_path):
    """A copy of a real graph, which tests may change."""
    return Path(shutil.copy(minilm_artifact / "onnx" / "model.onnx", tmp_path / "model.onnx"))


def open_graph(path, cache=None):
    return Session(path, options=SessionOptions(device="cpu", num_threads=1, cache=cache))


def opened_path(session):
    return Path(session.ort_session._model_path)


def entries(cache):
    return sorted(cache.glob("*/model.onnx"))


def embed(session):
    ids = np.array([[101, 7592, 2088, 102]])
    return session.run({"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)})


def test_the_results_are_the_same_numbers(graph, cache):
    plain, prepared = open_graph(graph, cache=False), open_graph(graph, cache=True)
    assert opened_path(plain) == graph
    assert opened_path(prepared) == entries(cache)[0]
    for expected, got in zip(embed(plain), embed(prepared), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_rounded_tied_table_gives_the_same_numbers(bits, tmp_path, cache):
    onnx.save(tied_table(bits), tmp_path / "model.onnx")
    plain, prepared = (open_graph(tmp_path / "model.onnx", cache=kept) for kept in (False, True))
    assert opened_path(prepared) == entries(cache)[0]
    feeds = {"ids": np.array([3, 1, 200])}
    np.testing.assert_array_equal(prepared.run(feeds)[0], plain.run(feeds)[0])


def test_rounded_weights_are_kept_unpacked(graph, tmp_path):
    """SmolLM2's in q4 and q8, packed by ONNX Runtime 1.31 and read again, gave nan."""
    onnx.save(tied_table(4), tmp_path / "rounded.onnx")
    packs = []
    for path in (graph, tmp_path / "rounded.onnx"):
        entries = {}
        options = SimpleNamespace(add_session_config_entry=entries.__setitem__)
        session_cache.save_prepared(options, tmp_path, path)
        packs.append(entries["session.save_external_prepacked_constant_initializers"])
    assert packs == ["1", "0"]


def tied_table(bits, num_rows=256, width=128, block=32):
    """Logits from a table of rounded rows for the rows of the same table that some ids name."""
    generator = np.random.default_rng(bits)
    blocks = width // block
    values = {
        "codes": generator.integers(0, 256, (num_rows, width * bits // 8), dtype=np.uint8),
        "shape": np.array([num_rows, blocks, block * bits // 8]),
        "scales": generator.uniform(0.01, 0.02, (num_rows, blocks)).astype(np.float32),
        "zeros": generator.integers(0, 256, (num_rows, blocks * bits // 8), dtype=np.uint8),
    }
    rounded = {"domain": "com.microsoft", "bits": bits, "block_size": block}
    table = ["scales", "zeros"]
    nodes = [
        helper.make_node("GatherBlockQuantized", ["codes", "ids", *table], ["x"], quantize_axis=1, **rounded),
        helper.make_node("Reshape", ["codes", "shape"], ["blobs"]),
        helper.make_node(
            "MatMulNBits", ["x", "blobs", *table], ["y"], K=width, N=num_rows, accuracy_level=4, **rounded
        ),
    ]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch_size"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch_size", num_rows])]
    weights = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "tied", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def test_a_later_load_finds_the_entry(graph, cache):
    open_graph(graph, cache=True)
    assert opened_path(open_graph(graph)) == entries(cache)[0]


def test_loading_in_one_process_prepares_nothing(graph, cache):
    for _ in range(3):
        assert opened_path(open_graph(graph)) == graph
    assert entries(cache) == []


def test_the_second_process_prepares(graph, cache):
    open_graph(graph)
    program = (
        "import sys; from pathlib import Path; from headway.runtime import session_cache; "
        "session_cache.MIN_MODEL_BYTES = 0; from headway.runtime.session import Session, SessionOptions; "
        "Session(Path(sys.argv[1]), options=SessionOptions(device='cpu', num_threads=1))"
    )
    subprocess.run([sys.executable, "-c", program, str(graph)], check=True, env={**os.environ, SWITCH: str(cache)})
    assert opened_path(open_graph(graph)) == entries(cache)[0]


def test_of_two_that_prepare_at_once_the_first_one_s_file_stays(graph, cache):
    """It is mapped already: another file in its place would be a second copy in memory."""
    entry = prepared_graph([graph], {}, "1")
    first, second = entry.stage(), entry.stage()
    for staged in (first, second):
        (staged / "model.onnx").write_text(staged.name)
    entry.publish(first)
    entry.publish(second)
    assert entry.path.read_text() == first.name


def test_a_changed_file_has_an_entry_of_its_own(graph, cache):
    open_graph(graph, cache=True)
    os.utime(graph, ns=(0, 0))
    assert opened_path(open_graph(graph)) == graph


@pytest.mark.parametrize("change", ["config", "version", "cpu"])
def test_what_else_the_entry_depends_on(graph, cache, monkeypatch, change):
    before = prepared_graph([graph], {}, "1.0")
    if change == "cpu":
        monkeypatch.setattr(session_cache, "_cpu", lambda: "another")
    config, version = ({"a": "b"}, "1.0") if change == "config" else ({}, "1.1" if change == "version" else "1.0")
    assert prepared_graph([graph], config, version) != before


def test_a_broken_entry_is_removed_and_the_graph_opened(graph, cache):
    open_graph(graph, cache=True)
    (path,) = entries(cache)
    path.write_bytes(b"broken")
    assert opened_path(open_graph(graph)) == graph
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written_does_no_harm(graph, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(SWITCH, str(tmp_path / "file"))
    monkeypatch.setattr(session_cache, "MIN_MODEL_BYTES", 0)
    assert opened_path(open_graph(graph, cache=True)) == graph


@pytest.mark.parametrize("switched_off_by", ["environment", "size"])
def test_switched_off(graph, cache, monkeypatch, switched_off_by):
    if switched_off_by == "environment":
        monkeypatch.setenv(SWITCH, "0")
    else:
        monkeypatch.setattr(session_cache, "MIN_MODEL_BYTES", 1 << 40)
    assert opened_path(open_graph(graph, cache=True)) == graph
    assert not cache.exists()


@pytest.mark.parametrize("scarce", ["memory", "disk", "limit"])
def test_nothing_is_prepared_where_room_is_scarce(graph, cache, monkeypatch, scarce):
    if scarce == "memory":
        monkeypatch.setattr(session_cache, "available_memory_bytes", lambda: graph.stat().st_size)
    elif scarce == "disk":
        monkeypatch.setattr(session_cache, "_MOST_OF_DISK", 0.0)
    else:
        monkeypatch.setattr(session_cache, "MAX_CACHE_BYTES", graph.stat().st_size)
    assert opened_path(open_graph(graph, cache=True)) == graph
    assert entries(cache) == []


def in_place(path, cache=None):
    return Session(path, options=SessionOptions(device="cpu", num_threads=1, cache=cache, prepack=False))


@pytest.mark.parametrize("asked_by", ["option", "environment"])
def test_weights_that_would_be_read_in_place_are_shared_where_that_is_asked_for(graph, cache, monkeypatch, asked_by):
    """A process each, such as replicas on Ray, would otherwise pack a copy each."""
    if asked_by == "environment":
        monkeypatch.setenv(SWITCH, "1")
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        cache = cache / "headway" / "sessions"
    asked = True if asked_by == "option" else None
    first, second = in_place(graph, asked), in_place(graph, asked)
    (entry,) = entries(cache)
    for session in (first, second):
        session.pack()
        assert opened_path(session) == entry
    for expected, got in zip(embed(open_graph(graph, cache=False)), embed(first), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("cached", [None, False])
def test_weights_read_in_place_are_packed_in_memory_where_nobody_asks(graph, cache, cached):
    open_graph(graph, cache=True)
    session = in_place(graph, cached)
    opened = session.ort_session
    assert opened_path(session) == graph
    session.pack()
    assert session.ort_session is not opened
    assert opened_path(session) == graph


def test_what_could_not_be_kept_at_first_is_kept_when_it_is_packed(graph, cache, monkeypatch):
    with monkeypatch.context() as scarce:
        scarce.setattr(session_cache, "_MOST_OF_DISK", 0.0)
        session = in_place(graph, True)
        assert opened_path(session) == graph
    session.pack()
    assert opened_path(session) == entries(cache)[0]


def test_the_least_recently_used_goes_first(tmp_path):
    for age, name in enumerate(["newest", "older", "oldest"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / "kept").mkdir()
    make_room(tmp_path, keep=tmp_path / "kept", max_bytes=150)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["kept", "newest"]
