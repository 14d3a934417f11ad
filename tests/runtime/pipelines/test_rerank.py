"""Reranking against sentence-transformers' CrossEncoder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_parity import assert_same_result
from sentence_transformers import CrossEncoder
from tiny_heads import Head, Heads

from headway.runtime import pipeline
from headway.runtime.errors import InputError, InputTypeError, OptionError, TaskError, UnsupportedFormatError

QUERY = "What does the fox do?"
DOCUMENTS = ["The quick brown fox jumps over the lazy dog.", "Hello world!", "", "日本語 😀", "fox " * 100]


def cross_encoder(head: Head, tmp_path: Path) -> CrossEncoder:
    head.model.save_pretrained(tmp_path / "checkpoint")
    head.tokenizer.save_pretrained(tmp_path / "checkpoint")
    return CrossEncoder(str(tmp_path / "checkpoint"), device="cpu")


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"return_documents": True}])
def test_ranking(heads: Heads, tmp_path: Path, options: dict[str, Any]) -> None:
    reference, rerank = cross_encoder(heads("one-label"), tmp_path), heads("one-label").pipeline("rerank")
    expected = reference.rank(QUERY, DOCUMENTS, **options)
    assert_same_result(expected, rerank(QUERY, DOCUMENTS, **options))
    assert_same_result(expected, rerank.rank(QUERY, DOCUMENTS, **options))
    assert_same_result([expected], rerank([{"query": QUERY, "documents": DOCUMENTS}], **options))


def test_the_cut_is_said(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    heads("one-label").pipeline("rerank")(QUERY, DOCUMENTS)
    assert "1 text was over the limit of 64 tokens" in caplog.text


def test_scores_of_pairs(heads: Heads, tmp_path: Path) -> None:
    pairs = [[QUERY, document] for document in DOCUMENTS[:2]]
    reference, rerank = cross_encoder(heads("one-label"), tmp_path), heads("one-label").pipeline("rerank")
    np.testing.assert_allclose(rerank.predict(pairs), reference.predict(pairs), atol=1e-5)
    np.testing.assert_allclose(rerank.predict(pairs[0]), reference.predict(pairs[0]), atol=1e-5)
    assert rerank.predict([]).shape == (0,)


@pytest.mark.parametrize("apply_softmax", [True, False])
def test_scores_of_several_labels(heads: Heads, tmp_path: Path, apply_softmax: bool) -> None:
    pairs = [[QUERY, document] for document in DOCUMENTS[:3]]
    expected = cross_encoder(heads("nli"), tmp_path).predict(pairs, apply_softmax=apply_softmax)
    actual = heads("nli").pipeline("rerank").predict(pairs, apply_softmax=apply_softmax)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_a_model_of_several_labels_does_not_rank(heads: Heads, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_labels=1"):
        cross_encoder(heads("nli"), tmp_path).rank(QUERY, DOCUMENTS)
    with pytest.raises(TaskError, match="3 labels"):
        heads("nli").pipeline("rerank")(QUERY, DOCUMENTS)


@pytest.mark.parametrize("activation", ["Identity", "Tanh"])
def test_the_activation_of_the_call(heads: Heads, tmp_path: Path, activation: str) -> None:
    reference, rerank = cross_encoder(heads("one-label"), tmp_path), heads("one-label").pipeline("rerank")
    expected = reference.rank(QUERY, DOCUMENTS, activation_fn=getattr(torch.nn, activation)())
    assert_same_result(expected, rerank(QUERY, DOCUMENTS, activation_fn=activation), tolerance=1e-3)
    assert rerank(QUERY, ["a"], activation_fn=lambda logits: logits * 0 + 3)[0]["score"] == 3.0


@pytest.mark.parametrize("place", ["config", "legacy", "own"])
def test_the_activation_of_the_folder(heads: Heads, tmp_path: Path, place: str) -> None:
    head = heads("one-label")
    name = "torch.nn.modules.linear.Identity"
    files = {
        "config": ("config.json", {"sentence_transformers": {"activation_fn": name}}),
        "legacy": ("config.json", {"sbert_ce_default_activation_function": name}),
        "own": ("config_sentence_transformers.json", {"activation_fn": name}),
    }
    file_name, values = files[place]
    rerank = pipeline("rerank", model=with_values(head.folder, tmp_path, file_name, values))
    expected = head.pipeline("rerank")(QUERY, DOCUMENTS, activation_fn="Identity")
    assert rerank(QUERY, DOCUMENTS) == expected


def test_an_unknown_activation_of_the_folder_is_not_imported(heads: Heads, tmp_path: Path) -> None:
    values = {"sentence_transformers": {"activation_fn": "os.system"}}
    with pytest.raises(UnsupportedFormatError, match=r"'os\.system'"):
        pipeline("rerank", model=with_values(heads("one-label").folder, tmp_path, "config.json", values))


def test_prompts(heads: Heads, tmp_path: Path) -> None:
    reference, rerank = cross_encoder(heads("one-label"), tmp_path), heads("one-label").pipeline("rerank")
    expected = reference.rank(QUERY, DOCUMENTS, prompt="Hello: ")
    assert_same_result(expected, rerank(QUERY, DOCUMENTS, prompt="Hello: "))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ((None, ["a"]), InputTypeError, r"\['query'\] is None"),
        (("", ["a"]), InputError, r"\['query'\] is empty"),
        (("a", [None]), InputTypeError, r"\['documents'\]\[0\] is None"),
        (("a", "b"), InputTypeError, r"\['documents'\] is 'b'"),
        (("a", ["b", "\ud800"]), InputError, r"U\+D800"),
        (("a",), InputTypeError, "dict with 'query', 'documents'"),
        (({"query": "a"},), InputError, "lacks 'documents'"),
    ],
)
def test_bad_input(heads: Heads, call: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("one-label").pipeline("rerank")(*call)


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ("a text", InputTypeError, "predict got 'a text'"),
        (["a"], InputError, "The input has 1 texts"),
        ([["a", "b"], ["c"]], InputError, "Input 1 has 1 texts"),
        ([["a", 2]], InputTypeError, r"Input 0\[1\] is 2"),
        ([3], InputTypeError, "Input 0 is 3"),
    ],
)
def test_bad_pairs(heads: Heads, pairs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("one-label").pipeline("rerank").predict(pairs)


@pytest.mark.parametrize("options", [{"top_k": 0}, {"return_documents": "yes"}, {"activation_fn": "Cube"}, {"k": 1}])
def test_bad_options(heads: Heads, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        heads("one-label").pipeline("rerank")(QUERY, DOCUMENTS, **options)


def test_nothing_to_rank(heads: Heads) -> None:
    rerank = heads("one-label").pipeline("rerank")
    assert rerank([]) == []
    assert rerank(QUERY, []) == []


def with_values(source: Path, tmp_path: Path, file_name: str, values: dict[str, Any]) -> Path:
    """A copy of an artifact with values added to one of its JSON files."""
    folder = tmp_path / "artifact"
    shutil.copytree(source, folder)
    path = folder / file_name
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**known, **values}))
    return folder
