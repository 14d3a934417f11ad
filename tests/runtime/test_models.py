"""Heads called as in transformers: outputs, options, saving, pushing."""

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tiny_graphs import (
    LABELS,
    MAX_LENGTH,
    classifier_logits,
    classifier_model,
    tagger_model,
    write_artifact,
    write_config,
)

from headway.runtime import (
    AutoConfig,
    AutoModel,
    AutoModelForCTC,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    load_model,
    model_loading,
)
from headway.runtime.errors import (
    ArtifactNotFoundError,
    CorruptArtifactError,
    InputError,
    InputTooLongError,
    InputTypeError,
    OptionError,
    TaskError,
    UnsafeArtifactError,
)

IDS = [[2, 5, 3], [2, 6, 3]]


@pytest.fixture(scope="module")
def model(classifier: Path) -> AutoModelForSequenceClassification:
    return AutoModelForSequenceClassification.from_pretrained(classifier, device="cpu", num_threads=1)


def test_output_by_attribute_key_and_index(model: AutoModelForSequenceClassification) -> None:
    output = model(input_ids=IDS)
    assert output.logits is output["logits"] is output[0]
    assert output[:1] == (output.logits,)
    assert (list(output), len(output)) == (["logits"], 1)
    assert output.to_tuple()[0] is output.logits
    assert output.hidden_states is None
    np.testing.assert_allclose(output.logits, classifier_logits(IDS, np.ones((2, 3))), atol=1e-6)
    with pytest.raises(AttributeError, match="no 'start_logits'; it has logits"):
        _ = output.start_logits
    with pytest.raises(KeyError):
        _ = output["start_logits"]


def test_output_survives_copying(model: AutoModelForSequenceClassification) -> None:
    output = model(input_ids=IDS)
    for twin in (copy.deepcopy(output), pickle.loads(pickle.dumps(output))):
        np.testing.assert_array_equal(twin.logits, output.logits)


def test_ways_to_call(model: AutoModelForSequenceClassification, classifier: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(classifier)
    batch = tokenizer(["the film was good .", "bad"], padding=True, return_tensors="np")
    by_name = model(**batch).logits
    np.testing.assert_allclose(by_name, classifier_logits(batch["input_ids"], batch["attention_mask"]), atol=1e-6)
    np.testing.assert_array_equal(model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits, by_name)
    (logits,) = model(**batch, return_dict=False)
    np.testing.assert_array_equal(logits, by_name)


def test_inputs_that_may_be_left_out_or_are_not_taken(model: AutoModelForSequenceClassification) -> None:
    expected = model(input_ids=IDS, attention_mask=np.ones((2, 3), dtype=np.int32)).logits
    np.testing.assert_array_equal(model(input_ids=IDS, attention_mask=None).logits, expected)
    # A tokenizer gives token types that this graph does without.
    np.testing.assert_array_equal(model(input_ids=IDS, token_type_ids=np.zeros((2, 3))).logits, expected)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({}, InputError, "input_ids is missing; the model takes input_ids, attention_mask"),
        ({"attention_mask": [[1]]}, InputError, "input_ids is missing"),
        ({"input_ids": None}, InputError, "input_ids is missing"),
        ({"input_ids": IDS, "labels": [1, 0]}, InputError, "no input labels; it takes input_ids, attention_mask"),
        ({"input_ids": [2, 5, 3]}, InputError, r"has shape \(3,\); 2 axes are needed"),
        ({"input_ids": [IDS]}, InputError, "2 axes are needed"),
        ({"input_ids": [[2, 5], [3]]}, InputTypeError, "ragged"),
        ({"input_ids": [["good"]]}, InputTypeError, "dtype <U4"),
        ({"input_ids": [[2.0, 3.0]]}, InputTypeError, "dtype float64"),
        ({"input_ids": []}, InputError, "2 axes are needed"),
        ({"input_ids": [[]]}, InputError, r"has shape \(1, 0\); at least one row and one token"),
        ({"input_ids": np.zeros((0, 4), np.int64)}, InputError, "at least one row and one token"),
        ({"input_ids": IDS, "attention_mask": [[1, 1, 1]]}, InputError, "batch_size must be equal"),
        ({"input_ids": IDS, "attention_mask": [[1], [1]]}, InputError, "sequence_length must be equal"),
        ({"input_ids": [[15]]}, InputError, "holds 15 to 15; the vocabulary has 0 to 14. Was the text tokenized"),
        ({"input_ids": [[2, -1]]}, InputError, "holds -1 to 2"),
        ({"input_ids": [[2] * 13]}, InputTooLongError, f"has 13 tokens; the model takes {MAX_LENGTH}. Tokenize with"),
    ],
)
def test_bad_inputs(
    model: AutoModelForSequenceClassification, inputs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model(**inputs)


def test_negative_ids_without_a_config(damaged: Path) -> None:
    (damaged / "config.json").unlink()
    model = AutoModelForSequenceClassification.from_pretrained(damaged)
    with pytest.raises(InputError, match="the vocabulary has 0 and above"):
        model([[-1]])
    with pytest.raises(InputError, match="could not run the graph"):
        model([[99]])


def test_config(model: AutoModelForSequenceClassification, classifier: Path) -> None:
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    assert model.config.label2id == {"NEGATIVE": 0, "POSITIVE": 1}
    assert [model.config.id2label[int(row.argmax())] for row in model(IDS).logits] == ["POSITIVE", "POSITIVE"]
    assert model.config == AutoConfig.from_pretrained(classifier)
    assert model.config.name_or_path == str(classifier)


def test_what_a_model_says_of_itself(model: AutoModelForSequenceClassification, classifier: Path) -> None:
    assert (model.dtype, model.device, model.max_length) == ("fp32", "cpu", MAX_LENGTH)
    assert repr(model) == f"AutoModelForSequenceClassification({str(classifier)!r}, dtype='fp32', device='cpu')"


def test_dtype(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "a", dtypes=("int8",))
    assert AutoModelForSequenceClassification.from_pretrained(folder).dtype == "int8"
    with pytest.raises(ArtifactNotFoundError, match="no variant 'fp16'; it has int8"):
        AutoModelForSequenceClassification.from_pretrained(folder, dtype="fp16")


@pytest.mark.parametrize("dtype", ["fp32", "float32", "auto", None, torch.float32])
def test_names_of_a_dtype(classifier: Path, dtype: Any) -> None:
    assert AutoModelForSequenceClassification.from_pretrained(classifier, dtype=dtype).dtype == "fp32"


@pytest.mark.parametrize("dtype", ["q2", torch.float16, 5, ["fp32"]])
def test_dtypes_that_are_not_there(classifier: Path, dtype: Any) -> None:
    with pytest.raises(ArtifactNotFoundError, match=r"has no variant .*; it has fp32. Pass one of these"):
        AutoModelForSequenceClassification.from_pretrained(classifier, dtype=dtype)


def test_file_name_and_subfolder(classifier: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(
        classifier.parent, subfolder=classifier.name, file_name="model.onnx"
    )
    assert model.session.path == classifier / "onnx" / "model.onnx"
    with pytest.raises(ArtifactNotFoundError, match=r"has no folder 'other'. Check subfolder="):
        AutoModelForSequenceClassification.from_pretrained(classifier.parent, subfolder="other")


def test_home_folder(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(classifier.parent))
    assert AutoModelForSequenceClassification.from_pretrained(f"~/{classifier.name}")(IDS).logits.shape == (2, 2)


def test_artifact_of_another_head(classifier: Path, tagger: Path) -> None:
    with pytest.raises(TaskError, match=r"exported for text-classification; AutoModelForQuestionAnswering loads"):
        AutoModelForQuestionAnswering.from_pretrained(classifier)
    with pytest.raises(ValueError, match="token-classification"):
        AutoModelForSequenceClassification.from_pretrained(tagger)


def test_head_without_a_manifest_is_told_by_its_outputs(tmp_path: Path) -> None:
    onnx.save(tagger_model(), tmp_path / "model.onnx")
    assert AutoModelForTokenClassification.from_pretrained(tmp_path)([[1, 2]]).logits.shape == (1, 2, len(LABELS))
    with pytest.raises(TaskError, match=r"gives logits \[.*; AutoModelForSequenceClassification needs logits with 2"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(TaskError, match="needs start_logits with 2 axes"):
        AutoModelForQuestionAnswering.from_pretrained(tmp_path)


def test_graph_that_is_not_the_one_described(damaged: Path) -> None:
    path = damaged / "onnx" / "model.onnx"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"attention_mask", b"attention_musk"))
    with pytest.raises(CorruptArtifactError, match=r"has the inputs .*attention_musk.*the manifest says"):
        AutoModelForSequenceClassification.from_pretrained(damaged)


def test_load_model(classifier: Path, tmp_path: Path) -> None:
    assert type(load_model(classifier)) is AutoModelForSequenceClassification
    with pytest.raises(TaskError, match=r"No model class for task 'fly'; there are .*text-classification"):
        load_model(classifier, "fly")
    with pytest.raises(TaskError, match="was exported for text-classification"):
        load_model(classifier, "fill-mask")
    model = classifier_model()
    model.graph.node[-1].output[0] = model.graph.output[0].name = "1234"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(TaskError, match="has no manifest that names its task; pass task="):
        load_model(tmp_path)
    write_config(tmp_path, "BertForSequenceClassification")
    assert type(load_model(tmp_path)) is AutoModelForSequenceClassification


@pytest.mark.parametrize("name", [None, 7, b"bytes", ["a"]])
def test_names_that_are_none(name: Any) -> None:
    with pytest.raises(InputTypeError, match="pass a folder or a hub id as text"):
        AutoModel.from_pretrained(name)


@pytest.mark.parametrize(
    "name", ["", "no/such/folder", "/no/such", "../x", "a" * 5000, "nul\0", "has space/x", "-x", "org/"]
)
def test_names_that_are_neither_folder_nor_hub_id(name: str) -> None:
    with pytest.raises(ArtifactNotFoundError, match=r"is neither a folder nor a hub id. Pass an exported folder"):
        AutoModel.from_pretrained(name)


def test_file_in_place_of_a_folder(classifier: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match="is a file, not a folder"):
        AutoModel.from_pretrained(classifier / "onnx" / "model.onnx")


def test_saved_and_loaded_again(model: AutoModelForSequenceClassification, classifier: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "copy"
    target.mkdir(parents=True)
    (target / "README.md").write_text("mine")
    model.save_pretrained(target)
    twin = AutoModelForSequenceClassification.from_pretrained(target)
    np.testing.assert_array_equal(twin(IDS).logits, model(IDS).logits)
    assert twin.artifact.changed_files() == {}
    assert twin.config == model.config
    assert (target / "README.md").read_text() == "mine"
    again = AutoTokenizer.from_pretrained(target)
    assert again("good film")["input_ids"] == AutoTokenizer.from_pretrained(classifier)("good film")["input_ids"]


def test_tokenizer_and_config_saved_beside_the_model(
    model: AutoModelForSequenceClassification, classifier: Path, tmp_path: Path
) -> None:
    AutoTokenizer.from_pretrained(classifier).save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path) == model.config
    assert AutoTokenizer.from_pretrained(tmp_path)("good")["input_ids"] == [2, 5, 3]


def test_saved_into_itself(model: AutoModelForSequenceClassification, classifier: Path) -> None:
    before = sorted(classifier.rglob("*"))
    model.save_pretrained(classifier)
    with pytest.raises(OptionError, match="lies inside the artifact"):
        model.save_pretrained(classifier / "onnx" / "copy")
    assert sorted(classifier.rglob("*")) == before


def test_saved_onto_a_file(model: AutoModelForSequenceClassification, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OptionError, match=r"is a file. Pass a folder"):
        model.save_pretrained(tmp_path / "file")


def test_links_to_outside_are_neither_copied_nor_pushed(damaged: Path, outside: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(damaged)
    (damaged / "notes.txt").symlink_to(outside)
    with pytest.raises(UnsafeArtifactError, match=r"notes.txt, which the artifact names, is a link to"):
        model.save_pretrained(tmp_path / "copy")
    with pytest.raises(UnsafeArtifactError, match="is a link to"):
        model.push_to_hub("me/x")


def test_weights_of_another_framework_are_not_copied(damaged: Path, tmp_path: Path) -> None:
    (damaged / "model.safetensors").write_bytes(b"x" * 100)
    AutoModelForSequenceClassification.from_pretrained(damaged).save_pretrained(tmp_path / "copy")
    assert not (tmp_path / "copy" / "model.safetensors").exists()


def test_artifact_is_opened_once(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    original = model_loading.Artifact
    monkeypatch.setattr(model_loading, "Artifact", lambda folder: opened.append(folder) or original(folder))
    AutoModelForSequenceClassification.from_pretrained(classifier)
    assert opened == [classifier]


def test_moved_while_loaded(damaged: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(damaged)
    shutil.move(damaged, tmp_path / "elsewhere")
    assert model(IDS).logits.shape == (2, 2)


@pytest.mark.parametrize("mask_axes", [("batch_size", "sequence_length"), ("rows", "columns")])
def test_mask_of_ones_where_none_is_given(mask_axes: tuple[str, str], tmp_path: Path) -> None:
    model = classifier_model()
    mask = next(value for value in model.graph.input if value.name == "attention_mask")
    for axis, name in zip(mask.type.tensor_type.shape.dim, mask_axes, strict=True):
        axis.dim_param = name
    loaded = load_model(write_artifact(tmp_path, model), device="cpu")
    ids = np.array([[2, 5, 3, 0], [2, 6, 7, 3]])
    assert np.allclose(loaded(input_ids=ids).logits, classifier_logits(ids, np.ones_like(ids)))


def test_mask_of_frames_beside_features(tmp_path: Path) -> None:
    features = onnx.helper.make_tensor_value_info("input_features", 1, ["batch_size", "num_frames", 2])
    mask = onnx.helper.make_tensor_value_info("attention_mask", 7, ["batch_size", "num_frames"])
    logits = onnx.helper.make_tensor_value_info("logits", 1, ["batch_size", "num_frames", 2])
    nodes = [
        onnx.helper.make_node("Cast", ["attention_mask"], ["float_mask"], to=1),
        onnx.helper.make_node("Unsqueeze", ["float_mask", "last"], ["column"]),
        onnx.helper.make_node("Mul", ["input_features", "column"], ["logits"]),
    ]
    last = onnx.numpy_helper.from_array(np.array([2]), "last")
    graph = onnx.helper.make_graph(nodes, "frames", [features, mask], [logits], [last])
    opset = [onnx.helper.make_opsetid("", 17)]
    proto = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    folder = write_artifact(tmp_path, proto, task="automatic-speech-recognition")
    loaded = AutoModelForCTC.from_pretrained(folder, device="cpu")
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    assert np.array_equal(loaded(input_features=values).logits, values)
    assert np.array_equal(loaded(values, attention_mask=[[1, 1, 0], [1, 0, 0]]).logits[1, 1:], np.zeros((2, 2)))
