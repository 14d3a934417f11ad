"""Model cards: what they say, that their examples run, and whose they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import onnxruntime
import pytest
import tiny_heads
import tiny_tokenizers
import torch
import transformers
from seq2seq_parity import tiny_seq2seq

from headway.export import export
from headway.export.card import is_own
from headway.runtime import load_model

OWN_RUNTIMES = ("Headway", "ONNX Runtime")


def tokenizer() -> Any:
    return tiny_tokenizers.build("BertTokenizer", model_max_length=tiny_heads.MAX_LENGTH)


def llama(vocab_size: int) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        vocab_size=vocab_size, **sizes, max_position_embeddings=128, initializer_range=0.6, eos_token_id=None
    )
    return transformers.LlamaForCausalLM(config).eval()


def blocks(folder: Path, language: str = "python") -> dict[str, str]:
    """Runtime → its example."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
    found = {title: re.search(rf"```{language}\n(.*?)```", body, re.DOTALL) for title, body in sections}
    return {title: match[1] for title, match in found.items() if match}


def printed(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.chdir(folder.parent)
    exec(compile(code, "README.md", "exec"), {})
    return capsys.readouterr().out.strip()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A classifier of a checkpoint with a card, language models of each kind, and an encoder-decoder."""
    base, words = tmp_path_factory.mktemp("cards"), tokenizer()
    checkpoint = base / "checkpoint"
    tiny_heads.build_model("nli", len(words), words.pad_token_id).save_pretrained(checkpoint)
    words.save_pretrained(checkpoint)
    front = "---\nlicense: mit\nlanguage: en\nbase_model: someone/larger\ntags: [x]\n---\n# Not copied\n"
    (checkpoint / "README.md").write_text(front)
    loose = {"min_cosine": 0.8, "min_top_1": 0.0}
    export(checkpoint, base / "classifier", dtype=["fp32", "int8"], accuracy_limits=loose, progress=False)
    options: dict[str, Any] = {"tokenizer": words, "progress": False}
    export(llama(len(words)), base / "genai", genai=True, **options)
    export(llama(len(words)), base / "compat", compat=True, **options)
    export(tiny_seq2seq("t5"), base / "seq2seq", **options)
    return {path.name: path for path in base.iterdir() if path.name != "checkpoint"}


@pytest.mark.parametrize(
    ("name", "runtimes"),
    [
        ("classifier", {*OWN_RUNTIMES, "optimum-onnx", "transformers.js"}),
        ("compat", {*OWN_RUNTIMES, "optimum-onnx", "transformers.js"}),
        ("genai", {*OWN_RUNTIMES, "onnxruntime-genai"}),
        ("seq2seq", set(OWN_RUNTIMES)),
    ],
)
def test_only_runtimes_that_take_the_folder_are_named(folders: dict[str, Path], name: str, runtimes: set[str]) -> None:
    assert {*blocks(folders[name]), *blocks(folders[name], "js")} == runtimes


@pytest.mark.parametrize("runtime", OWN_RUNTIMES)
@pytest.mark.parametrize("name", ["classifier", "compat", "genai", "seq2seq"])
def test_examples_run(
    folders: dict[str, Path],
    name: str,
    runtime: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(blocks(folders[name])[runtime], folders[name], monkeypatch, capsys)


@pytest.mark.parametrize("name", ["compat", "genai"])
def test_the_plain_example_of_a_language_model_gives_its_next_token(
    folders: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = printed(blocks(folders[name])["ONNX Runtime"], folders[name], monkeypatch, capsys)
    words = tokenizer()
    ids = np.array([words("The capital of France is").input_ids])
    expected = load_model(folders[name], device="cpu").generate(ids, max_new_tokens=1, do_sample=False)
    assert token.split()[0] == str(expected[0, -1])


def test_the_plain_example_of_an_encoder_decoder_gives_its_first_token(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = printed(blocks(folders["seq2seq"])["ONNX Runtime"], folders["seq2seq"], monkeypatch, capsys)
    words = tokenizer()
    ids = np.array([words("A man is eating food.").input_ids])
    model = load_model(folders["seq2seq"], device="cpu")
    expected = model.generate(ids, max_new_tokens=1, do_sample=False, num_beams=1)
    assert token.split()[0] == str(expected[0, -1])


def test_front_matter(folders: dict[str, Path]) -> None:
    values = huggingface_hub.metadata_load(folders["classifier"] / "README.md")
    assert values is not None
    assert (values["license"], values["language"], values["base_model"]) == ("mit", "en", "someone/larger")
    assert (values["library_name"], values["pipeline_tag"]) == ("headway", "text-classification")
    assert values["tags"] == ["onnx", "headway", "bert", "transformers.js"]
    assert "license" not in (huggingface_hub.metadata_load(folders["compat"] / "README.md") or {})


def test_figures_are_the_manifests(folders: dict[str, Path]) -> None:
    text = (folders["classifier"] / "README.md").read_text(encoding="utf-8")
    manifest = load_model(folders["classifier"], device="cpu").artifact.manifest
    assert manifest is not None
    for dtype, variant in manifest.variants.items():
        assert f"| {dtype} | `{variant.files[0].path}` | {variant.size_bytes / 1e6:.1f} MB |" in text
        assert all(f"- {case['name']}: " in text for case in variant.verification["cases"])
    assert f"largest relative error {manifest.variants['fp32'].verification['max_relative_error']:.1e}" in text
    assert f"cosine {manifest.variants['int8'].verification['cases'][0]['cosine']:.5f}" in text
    assert "# Not copied" not in text


def test_a_card_that_somebody_wrote_stays(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, model, options = tmp_path / "out", llama(48), {"progress": False, "overwrite": True}
    shutil.copytree(folders["compat"], folder)
    card = folder / "README.md"
    assert is_own(card.read_text(encoding="utf-8"))
    export(model, folder, **options)
    written = card.read_text(encoding="utf-8")
    assert is_own(written)
    assert "tokenizer.json" not in written
    for theirs in ("# Mine\n", written.replace("# out", "# Mine")):
        card.write_text(theirs, encoding="utf-8")
        export(model, folder, **options)
        assert card.read_text(encoding="utf-8") == theirs


def test_what_no_runtime_is_told_to_feed(folders: dict[str, Path]) -> None:
    """The reason why transformers.js is not named for Headway's own language models."""
    session = onnxruntime.InferenceSession(str(folders["genai"] / "onnx" / "model.onnx"))
    assert {"seqlens_k", "total_sequence_length"} <= {value.name for value in session.get_inputs()}
