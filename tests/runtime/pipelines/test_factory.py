import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_heads import Heads

from headway.runtime import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    Config,
    pipeline,
)
from headway.runtime.errors import (
    ArtifactNotFoundError,
    InputTypeError,
    NotExportedError,
    OptionError,
    TaskError,
)
from headway.runtime.pipelines.registry import ALIASES, PIPELINES, pipeline_class


@pytest.mark.parametrize("task", PIPELINES)
def test_every_task_has_its_class(task: str) -> None:
    found = pipeline_class(task)
    assert found.model_task in PIPELINES
    assert found.__name__.endswith("Pipeline")


def test_aliases_stand_for_tasks() -> None:
    assert set(ALIASES.values()) <= set(PIPELINES)
    assert not set(ALIASES) & set(PIPELINES)


def test_an_unknown_task_lists_the_known(heads: Heads) -> None:
    with pytest.raises(TaskError, match=r"Unknown task 'translate'; available are .*cross-encoder, default, .*rerank"):
        heads("nli").pipeline("translate")


@pytest.mark.parametrize(
    ("head", "task"),
    [("nli", "text-classification"), ("ner", "token-classification"), ("backbone", "feature-extraction")],
)
def test_the_task_comes_from_the_manifest(heads: Heads, head: str, task: str) -> None:
    assert heads(head).pipeline().task == task


def test_an_artifact_for_another_head_is_refused(heads: Heads) -> None:
    with pytest.raises(TaskError, match=r"was exported for text-classification.*token-classification"):
        heads("nli").pipeline("ner")


def test_a_loaded_model(heads: Heads) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(heads("nli").folder)
    tokenizer = AutoTokenizer.from_pretrained(heads("nli").folder)
    expected = heads("nli").pipeline()("Hello")
    assert pipeline(model=model)("Hello") == expected
    assert pipeline("text-classification", model, tokenizer)("Hello") == expected
    assert pipeline("text-classification", model, str(heads("nli").folder))("Hello") == expected


def test_a_loaded_model_for_another_head_is_refused(heads: Heads) -> None:
    model = AutoModelForTokenClassification.from_pretrained(heads("ner").folder)
    with pytest.raises(TaskError, match="AutoModelForTokenClassification, for token-classification; rerank needs"):
        pipeline("rerank", model=model)


def test_a_config_takes_the_place_of_the_models(heads: Heads) -> None:
    values = {**json.loads((heads("nli").folder / "config.json").read_text()), "id2label": {0: "a", 1: "b", 2: "c"}}
    assert heads("nli").pipeline(config=Config(values))("Hello")[0]["label"] in "abc"


@pytest.mark.parametrize("device", [-1, "cpu", "auto"])
def test_devices(heads: Heads, device: Any) -> None:
    assert heads("nli").pipeline(device=device).device == "cpu"


def test_a_device_that_is_not_there_is_an_error(heads: Heads) -> None:
    with pytest.raises(RuntimeError, match="cuda"):
        heads("nli").pipeline(device=0)


def test_a_pipeline_says_what_it_is(heads: Heads) -> None:
    text = repr(heads("nli").pipeline("sentiment-analysis"))
    assert text.startswith("TextClassificationPipeline(task='sentiment-analysis'")


def test_saved_and_loaded_again(heads: Heads, tmp_path: Path) -> None:
    classify = heads("nli").pipeline()
    classify.save_pretrained(tmp_path / "copy")
    assert pipeline(model=tmp_path / "copy")("Hello") == classify("Hello")


def test_a_folder_without_manifest_is_told_by_its_architecture(heads: Heads, tmp_path: Path) -> None:
    shutil.copytree(heads("ner").folder, tmp_path / "copy")
    (tmp_path / "copy" / "headway.json").unlink()
    assert pipeline(model=tmp_path / "copy")("Hello world") == heads("ner").pipeline()("Hello world")


def test_a_folder_that_does_not_say_its_task(heads: Heads, tmp_path: Path) -> None:
    shutil.copytree(heads("ner").folder, tmp_path / "copy")
    (tmp_path / "copy" / "headway.json").unlink()
    (tmp_path / "copy" / "config.json").write_text("{}")
    # By its logits it is one class for each token; under a name of their own they could be anything.
    assert pipeline(model=tmp_path / "copy").task == "token-classification"
    graph = tmp_path / "copy" / "onnx" / "model.onnx"
    graph.write_bytes(graph.read_bytes().replace(b"logits", b"unsaid"))
    with pytest.raises(TaskError, match="does not say what it was exported for; pass task="):
        pipeline(model=tmp_path / "copy")


def test_a_checkpoint_that_is_not_exported(heads: Heads, tmp_path: Path) -> None:
    heads("nli").model.save_pretrained(tmp_path)
    with pytest.raises(NotExportedError, match="headway export"):
        pipeline(model=tmp_path)


def test_a_checkpoint_is_exported_when_asked(heads: Heads, tmp_path: Path) -> None:
    heads("one-label").model.save_pretrained(tmp_path / "checkpoint")
    heads("one-label").tokenizer.save_pretrained(tmp_path / "checkpoint")
    classify = pipeline(model=tmp_path / "checkpoint", export=True, cache_dir=tmp_path / "cache")
    expected = heads("one-label").pipeline()("Hello")[0]
    assert classify("Hello")[0]["label"] == expected["label"]
    assert classify("Hello")[0]["score"] == pytest.approx(expected["score"], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, OptionError, "model is missing"),
        ({"model": "no/such/folder/anywhere"}, ArtifactNotFoundError, "neither a folder nor a hub id"),
        ({"task": "x", "model": "x"}, TaskError, "Unknown task 'x'"),
        ({"model": 5}, InputTypeError, r"model is 5 \(int\)"),
    ],
)
def test_calls_that_cannot_work(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pipeline(**options)


def test_a_tokenizer_of_another_type_is_refused(heads: Heads) -> None:
    with pytest.raises(InputTypeError, match="tokenizer is a int"):
        heads("nli").pipeline(tokenizer=5)


def test_a_graph_without_the_output_is_refused(heads: Heads, tmp_path: Path) -> None:
    shutil.copytree(heads("backbone").folder, tmp_path / "copy")
    (tmp_path / "copy" / "headway.json").unlink()
    with pytest.raises(TaskError, match="needs logits"):
        pipeline("text-classification", model=tmp_path / "copy")
