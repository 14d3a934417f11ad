"""Embeddings against sentence-transformers, on MiniLM and on tiny folders of every pooling."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
from sentence_transformers import SentenceTransformer
from tiny_heads import Head, Heads

from headway.runtime import pipeline
from headway.runtime.errors import (
    InputError,
    InputTooLongError,
    InputTypeError,
    OptionError,
    UnsafeArtifactError,
    UnsupportedFormatError,
)

TEXTS = ["Hello world!", "The quick brown fox jumps over the lazy dog. Was it?", "日本語 😀", "", "fox"]
LONG = "The quick brown fox jumps over the lazy dog. " * 30
POOLINGS = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]

Pair = tuple[SentenceTransformer, Any]


@pytest.fixture(scope="session")
def checkpoint(heads: Heads, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny backbone as a transformers folder."""
    folder = tmp_path_factory.mktemp("backbone") / "checkpoint"
    heads("backbone").model.save_pretrained(folder)
    heads("backbone").tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def both(checkpoint: Path, heads: Heads, tmp_path: Path) -> Callable[..., Pair]:
    """Modules after the transformer → sentence-transformers' model of them, and Headway's pipeline for its folder."""

    def build(*modules: Any, max_seq_length: int | None = None, **options: Any) -> Pair:
        transformer = sentence_transformers.models.Transformer(str(checkpoint), max_seq_length=max_seq_length)
        model = SentenceTransformer(modules=[transformer, *modules], device="cpu", **options)
        model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
        return SentenceTransformer(str(tmp_path / "saved"), device="cpu"), embed_of(heads("backbone"), tmp_path)

    return build


def embed_of(head: Head, tmp_path: Path) -> Any:
    """Headway's pipeline for the backbone's export beside the files of ``tmp_path/saved``."""
    artifact = tmp_path / "artifact"
    shutil.copytree(head.folder, artifact)
    for path in (tmp_path / "saved").rglob("*"):
        relative = path.relative_to(tmp_path / "saved")
        # The tokenizer's settings too: that is where sentence-transformers writes the limit.
        if path.is_file() and (path.name == "tokenizer_config.json" or not (artifact / relative).exists()):
            (artifact / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, artifact / relative)
    return pipeline("embed", model=artifact, num_threads=1)


def pooling(mode: Any, **options: Any) -> Any:
    return sentence_transformers.models.Pooling(32, mode, **options)


def assert_same_embeddings(reference: SentenceTransformer, embed: Any, **options: Any) -> None:
    expected = reference.encode(TEXTS, **options)
    actual = embed.encode(TEXTS, **options)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    single = embed.encode(TEXTS[1], **options)
    assert single.shape == expected[1].shape
    np.testing.assert_allclose(single, expected[1], atol=1e-4)


def test_minilm(minilm_checkpoint: Path, minilm_artifact: Path, caplog: pytest.LogCaptureFixture) -> None:
    reference, embed = SentenceTransformer(str(minilm_checkpoint), device="cpu"), pipeline("embed", minilm_artifact)
    np.testing.assert_allclose(embed(TEXTS), reference.encode(TEXTS), atol=1e-5)
    assert embed.embedding_dimension == 384
    caplog.clear()
    np.testing.assert_allclose(embed([LONG, "a"]), reference.encode([LONG, "a"]), atol=1e-4)
    assert "1 text was over the limit of 256 tokens (the longest has 302)" in caplog.text


@pytest.mark.parametrize("mode", [*POOLINGS, ("mean", "max", "cls")])
def test_every_pooling(both: Callable[..., Pair], mode: Any) -> None:
    assert_same_embeddings(*both(pooling(mode)))


@pytest.mark.parametrize("mode", POOLINGS)
def test_prompts_left_out_of_the_pooling(both: Callable[..., Pair], mode: str) -> None:
    reference, embed = both(pooling(mode, include_prompt=False), prompts={"query": "The fox says: "})
    assert_same_embeddings(reference, embed, prompt_name="query")
    assert_same_embeddings(reference, embed, prompt="Hello my ")
    assert_same_embeddings(reference, embed)


def test_prompts(both: Callable[..., Pair]) -> None:
    prompts = {"query": "Where is ", "passage": "It is "}
    reference, embed = both(pooling("mean"), prompts=prompts, default_prompt_name="passage")
    for options in ({}, {"prompt_name": "query"}, {"prompt": "Today "}, {"prompt": ""}):
        assert_same_embeddings(reference, embed, **options)
    np.testing.assert_allclose(embed.encode_query(TEXTS), reference.encode_query(TEXTS), atol=1e-4)
    np.testing.assert_allclose(embed.encode_document(TEXTS), reference.encode_document(TEXTS), atol=1e-4)
    assert np.abs(embed.encode_query("fox") - embed.encode_document("fox")).max() > 1e-3


@pytest.mark.parametrize("activation", ["Tanh", "Identity", "ReLU", "GELU", "Sigmoid", "SiLU"])
def test_dense_and_normalize(both: Callable[..., Pair], activation: str) -> None:
    import torch

    torch.manual_seed(0)
    dense = sentence_transformers.models.Dense(32, 8, activation_function=getattr(torch.nn, activation)())
    assert_same_embeddings(*both(pooling("mean"), dense, sentence_transformers.models.Normalize()))


@pytest.mark.parametrize("out_features", [32, 8])
def test_dense_with_a_residual(both: Callable[..., Pair], out_features: int) -> None:
    dense = sentence_transformers.models.Dense(32, out_features, bias=False, use_residual=True)
    assert_same_embeddings(*both(pooling("cls"), dense))


def test_normalized_and_shortened(both: Callable[..., Pair]) -> None:
    reference, embed = both(pooling("mean"), truncate_dim=16)
    for options in ({}, {"normalize_embeddings": True}, {"truncate_dim": 5, "normalize_embeddings": True}):
        assert_same_embeddings(reference, embed, **options)


def test_the_folders_limit(both: Callable[..., Pair], caplog: pytest.LogCaptureFixture) -> None:
    reference, embed = both(pooling("mean"), max_seq_length=12)
    assert reference.max_seq_length == embed.limit == 12
    caplog.clear()
    np.testing.assert_allclose(embed([LONG, *TEXTS]), reference.encode([LONG, *TEXTS]), atol=1e-4)
    assert "texts were over the limit of 12 tokens" in caplog.text
    with pytest.raises(InputTooLongError, match=r"Input 0 has .* tokens; the limit is 12"):
        embed([LONG], truncation="error")


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity(both: Callable[..., Pair], name: Any) -> None:
    reference, embed = both(pooling("mean"), similarity_fn_name=name)
    vectors = embed(TEXTS)
    expected = reference.similarity(vectors, vectors[:2]).numpy()
    np.testing.assert_allclose(embed.similarity(vectors, vectors[:2]), expected, rtol=1e-4, atol=1e-3)
    assert embed.similarity(vectors[0], vectors).shape == (1, len(TEXTS))


def test_the_limit_as_older_versions_write_it(heads: Heads, tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(heads("backbone").folder, folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9, "do_lower_case": true}')
    embed = pipeline("embed", model=folder)
    assert embed.limit == 9
    np.testing.assert_array_equal(embed("FOX Jumps"), embed("fox jumps"))


def test_a_folder_without_modules_is_pooled_by_mean(heads: Heads, checkpoint: Path) -> None:
    assert_same_embeddings(SentenceTransformer(str(checkpoint), device="cpu"), heads("backbone").pipeline("embed"))


def test_a_stream_and_a_list_give_the_same(heads: Heads) -> None:
    embed = heads("backbone").pipeline("embeddings")
    streamed = list(embed(text for text in TEXTS * 200))
    np.testing.assert_allclose(np.stack(streamed), embed(TEXTS * 200), atol=1e-6)
    assert streamed[0].shape == (32,)


def test_an_empty_list_has_the_dimension(heads: Heads) -> None:
    assert heads("backbone").pipeline("embed")([]).shape == (0, 32)


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (None, {}, InputTypeError, "The input is None"),
        (5, {}, InputTypeError, "The input is 5"),
        (["a", ["b"]], {}, InputTypeError, r"Input 1 is \['b'\]"),
        (["a", "\ud800"], {}, InputError, r"Input 1 .*U\+D800"),
        ("a", {"prompt_name": "query"}, OptionError, "prompt_name is 'query'; the model has the prompts: none"),
        ("a", {"truncate_dim": 0}, OptionError, "truncate_dim is 0"),
        ("a", {"normalize": True}, OptionError, "embed has no option 'normalize'"),
    ],
)
def test_bad_input(heads: Heads, inputs: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("backbone").pipeline("embed")(inputs, **options)


def test_tensors_are_refused(heads: Heads) -> None:
    with pytest.raises(OptionError, match="numpy arrays"):
        heads("backbone").pipeline("embed").encode("a", convert_to_tensor=True)


def with_module(heads: Heads, tmp_path: Path, kind: str, files: dict[str, str]) -> Path:
    """The backbone's export with a pooling and one more module."""
    folder = tmp_path / "artifact"
    shutil.copytree(heads("backbone").folder, folder)
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": kind, "path": "2_Module"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Module").mkdir()
    for name, text in files.items():
        (folder / "2_Module" / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("kind", "files", "error", "message"),
    [
        ("sentence_transformers.models.LSTM", {}, UnsupportedFormatError, "kind LSTM; known are Transformer, Pooling"),
        ("x.Pooling", {"config.json": '{"pooling_mode": "median"}'}, UnsupportedFormatError, "pools by median"),
        ("x.Pooling", {"config.json": "{"}, ValueError, "config.json is not readable JSON"),
        ("x.Dense", {"pytorch_model.bin": "x"}, UnsafeArtifactError, "pickled weights"),
        ("x.Dense", {}, FileNotFoundError, "no model.safetensors"),
        ("x.Dense", {"model.safetensors": "short"}, ValueError, "no whole safetensors file"),
        ("x.Dense", {"config.json": '{"module_input_name": "token_embeddings"}'}, UnsupportedFormatError, "token_emb"),
    ],
)
def test_unusable_modules(
    heads: Heads, tmp_path: Path, kind: str, files: dict[str, str], error: type[Exception], message: str
) -> None:
    folder = with_module(heads, tmp_path, kind, files)
    with pytest.raises(error, match=message):
        pipeline("embed", model=folder)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{}", ValueError, "a list of modules was expected"),
        ("[", ValueError, "not readable JSON"),
        ('[{"path": "1"}]', ValueError, "without type and path"),
        ('[{"type": "a.Pooling", "path": "../other"}]', UnsafeArtifactError, "outside"),
    ],
)
def test_unusable_list_of_modules(
    heads: Heads, tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    folder = with_module(heads, tmp_path, "a.Pooling", {})
    (folder / "modules.json").write_text(text)
    with pytest.raises(error, match=message):
        pipeline("embed", model=folder)
