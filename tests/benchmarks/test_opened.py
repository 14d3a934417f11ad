"""Headway's folders in other runtimes: what can be told without Node, and that a difference is seen."""

import re
import shutil
from pathlib import Path

import pytest
import tiny_heads
import tiny_tokenizers

from headway.benchmarks.interop import node, opened_run
from headway.benchmarks.interop.opened import CHECKPOINTS, OPENED, Opened
from headway.benchmarks.interop.opened_run import largest_difference, opened_results
from headway.benchmarks.peers.environments import ENVIRONMENTS, PeerUnavailableError
from headway.export import export
from headway.export.card_support import JS_DTYPES
from headway.runtime.artifact import onnx_file_name

SCRIPT = Path(node.__file__).with_name("transformers_js_side.mjs")
# transformers.js 4.2, src/utils/dtypes.js: what it puts after a graph's name.
JS_SUFFIXES = {"fp32": "", "fp16": "_fp16", "q8": "_quantized", "q4": "_q4"}


def test_every_folder_has_a_checkpoint_and_a_runtime() -> None:
    assert {case.model for case in OPENED} == set(CHECKPOINTS)
    assert {case.runtime for case in OPENED} == set(opened_run._RUNTIMES)
    assert set(opened_run._RUNTIMES) - {"transformers.js"} <= set(ENVIRONMENTS)
    assert len({case.name for case in OPENED}) == len(OPENED)


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"),
    [
        ([[0.5, 1.0]], [[0.5, 1.25]], 0.25),
        ([{"label": "a", "score": 0.5}], [{"label": "a", "score": 0.25}], 0.25),
        ([{"label": "a", "score": 0.5}], [{"label": "b", "score": 0.5}], float("inf")),
        ([{"label": "a"}], [{"label": "a", "score": 0.5}], float("inf")),
        ([0.5], [0.5, 0.5], float("inf")),
        ("same", "same", 0.0),
    ],
)
def test_differences(ours: object, theirs: object, difference: float) -> None:
    assert largest_difference(ours, theirs) == difference


def test_the_names_by_which_transformers_js_asks() -> None:
    """Its names of precisions lead to Headway's files."""
    for dtype, js_dtype in JS_DTYPES.items():
        assert onnx_file_name("model", dtype) == f"onnx/model{JS_SUFFIXES[js_dtype]}.onnx"
    requested = {case.dtype for case in OPENED if case.runtime == "transformers.js"}
    assert all(JS_DTYPES[dtype] == js_dtype for dtype, js_dtype in requested)


def test_what_transformers_js_reads_is_in_a_folder(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.build("BertTokenizer", model_max_length=tiny_heads.MAX_LENGTH)
    model = tiny_heads.build_model("nli", len(tokenizer), tokenizer.pad_token_id)
    export(model, tmp_path / "out", tokenizer=tokenizer, progress=False)
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx"):
        assert (tmp_path / "out" / file).is_file()


def test_the_script_reads_what_it_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(opened_run, "ask_transformers_js", lambda request: asked.update(request) or [["x"]])
    monkeypatch.setattr(opened_run, "pipeline", lambda *_, **__: lambda texts, **options: [["x"]])
    case = next(case for case in OPENED if case.task == "text-classification")
    assert opened_run._in_transformers_js(case).passed
    named = re.search(r"const \{ (.*?) \} = JSON\.parse", SCRIPT.read_text(encoding="utf-8"))
    assert named is not None
    assert set(named[1].split(", ")) == set(asked)


def test_without_node_the_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(opened_run, "_export", lambda _: None)
    (line,) = [result for name, result in opened_results("classifier") if name.endswith("in-transformers.js")]
    assert not line.passed
    assert "node is not installed: install Node.js" in line.text


def test_a_failure_of_npm_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no such registry' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(npm))
    with pytest.raises(PeerUnavailableError, match="no such registry"):
        node.ask_transformers_js({})
    monkeypatch.setenv("HEADWAY_BENCH_INSTALL", "0")
    with pytest.raises(PeerUnavailableError, match="is not to be"):
        node.ask_transformers_js({})


def test_a_folder_is_exported_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    exported: list[Path] = []
    monkeypatch.setitem(CHECKPOINTS, "minilm", lambda: tmp_path)  # type: ignore[arg-type]
    monkeypatch.setattr(
        "headway.export.export", lambda _, folder, **__: (exported.append(folder), folder.mkdir(parents=True))
    )
    case = Opened("minilm", "optimum-onnx")
    opened_run._export(case)
    opened_run._export(case)
    assert exported == [case.folder]
    (case.folder / ".complete").write_text("another exporter's")
    opened_run._export(case)
    assert len(exported) == 2
