"""Configs with transformers' attribute names, and configs that are broken."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from transformers import CONFIG_MAPPING, PretrainedConfig

from headway.runtime import AutoConfig, Config
from headway.runtime.errors import ArtifactNotFoundError, CorruptArtifactError

FAMILIES = [
    "bert",
    "roberta",
    "distilbert",
    "albert",
    "xlm",
    "xlnet",
    "gpt2",
    "t5",
    "llama",
    "mpnet",
    "modernbert",
    "opt",
]
NAMES = ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", NAMES)
def test_common_names(family: str, name: str) -> None:
    original = CONFIG_MAPPING[family]()
    config = Config(json.loads(json.dumps(original.to_dict())))
    assert getattr(config, name) == getattr(original, name)


def test_labels_as_in_transformers(tmp_path: Path) -> None:
    original = PretrainedConfig(id2label={0: "NO", 1: "YES"}, label2id={"NO": 0, "YES": 1}, architectures=["X"])
    original.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.id2label == original.id2label == {0: "NO", 1: "YES"}
    assert config.label2id == original.label2id
    assert config.num_labels == original.num_labels == 2
    assert config.architectures == ["X"]


@pytest.mark.parametrize("values", [{}, {"num_labels": 3}, {"id2label": None}, {"id2label": {}}])
def test_labels_that_are_not_named(values: dict[str, Any]) -> None:
    original = PretrainedConfig(**{key: value for key, value in values.items() if key == "num_labels"})
    config = Config(values)
    assert config.num_labels == original.num_labels
    assert config.id2label == original.id2label
    assert config.label2id == original.label2id


@pytest.mark.parametrize("name", ["id2label", "label2id"])
@pytest.mark.parametrize("labels", [["a", "b"], {"x": "y"}, "labels", 3, {"0": {}, "zero": None}])
def test_labels_that_are_no_table(name: str, labels: Any) -> None:
    with pytest.raises(CorruptArtifactError, match=rf"some/model: config.json: {name} is"):
        Config({name: labels}, "some/model")


def test_number_of_labels_that_is_none() -> None:
    assert Config({"num_labels": "many"}).num_labels == 2


def test_nested_configs() -> None:
    config = Config({"text_config": {"n_embd": 8}, "other": {"a": 1}})
    assert config.text_config.hidden_size == 8
    assert config.other == {"a": 1}


def test_names_that_are_not_there() -> None:
    config = Config({"a": None})
    assert config.get("b", 7) == 7
    assert config.get("to_dict") is None
    assert (config.get("a", 7), "a" in config, "b" in config) == (None, True, False)
    with pytest.raises(AttributeError, match="This config has no 'b'"):
        _ = config.b


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    config = Config({"id2label": {"0": "Größe"}, "x": [1, {"y": None}]}, "name")
    config.save_pretrained(tmp_path / "new")
    assert Config.from_pretrained(tmp_path / "new") == config
    assert "Größe" in (tmp_path / "new" / "config.json").read_text(encoding="utf-8")
    assert "Größe" in repr(config)


def test_copies() -> None:
    config = Config({"id2label": {"0": "A"}})
    for twin in (copy.deepcopy(config), copy.copy(config), pickle.loads(pickle.dumps(config))):
        assert twin == config
    assert config != {"id2label": {0: "A"}}


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match=r"has no config.json"):
        AutoConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{'single': 'quotes'}")
    with pytest.raises(CorruptArtifactError, match="is not readable JSON"):
        AutoConfig.from_pretrained(tmp_path)
