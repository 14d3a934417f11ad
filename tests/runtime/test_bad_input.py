"""The list of bad inputs of the runtime, from what a newcomer types to what an attacker packs into a folder.

Each case ends in an error of the project's own tree that says what was got and what to do. Details of each layer are
in the tests of its module; these go in at the public names.
"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.runtime import (
    AutoConfig,
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    load_model,
    pipeline,
)
from headway.runtime.errors import (
    ArtifactNotFoundError,
    CorruptArtifactError,
    HeadwayError,
    InputError,
    InputTooLongError,
    InputTypeError,
    NotExportedError,
    OptionError,
    TaskError,
    UnsafeArtifactError,
    UnsupportedFormatError,
)

FILES = ["headway.json", "config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx"]


@pytest.fixture(scope="module")
def classify(classifier: Path) -> Any:
    return pipeline("text-classification", classifier, device="cpu", num_threads=1)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, InputTypeError, "The input is None; a text"),
        (7, InputTypeError, "The input is 7 .int.; a text"),
        (2.5, InputTypeError, "The input is 2.5 .float.; a text"),
        (True, InputTypeError, "The input is True .bool.; a text"),
        (b"film", InputTypeError, "The input is b'film' .bytes.; a text"),
        ({}, InputError, "The input lacks 'text'"),
        ({"text": None}, InputTypeError, r"The input\['text'\] is None; a text"),
        (["good", None], InputTypeError, "Input 1 is None; a text"),
        (["good", 3], InputTypeError, "Input 1 is 3 .int.; a text"),
        (["good", ["bad"]], InputTypeError, "Input 1 is "),
        ("\ud800", InputError, "the lone surrogate U.D800 at character 0"),
        (["good", "film \udfff"], InputError, "Input 1 .* the lone surrogate U.DFFF at character 5"),
        ("film " * 50, InputTooLongError, "The input has 52 tokens; the limit is 12"),
        (["good", "film " * 50], InputTooLongError, "Input 1 has 52 tokens; the limit is 12"),
    ],
)
def test_texts(classify: Any, given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        classify(given)
    with pytest.raises(error):
        list(classify.stream([given] if not isinstance(given, list) else given))


def test_empty_texts_and_lists_are_what_they_are_in_transformers(classify: Any) -> None:
    """An empty text is [CLS] [SEP]; no texts give no results."""
    assert classify([]) == list(classify.stream([])) == []
    assert classify("") == [classify([""])[0]]


def test_empty_list_of_texts_has_no_tensors(classifier: Path) -> None:
    with pytest.raises(InputError, match="an empty list of texts: pass at least one"):
        AutoTokenizer.from_pretrained(classifier)([], return_tensors="np")


def test_unpadded_batch(classifier: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(classifier)
    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    with pytest.raises(InputTypeError, match=r"ragged .* padding=True"):
        model(**tokenizer(["good", "good film"]))
    with pytest.raises(HeadwayError, match="padding=True"):
        tokenizer(["good", "good film"], return_tensors="np")


@pytest.mark.parametrize(
    "inputs",
    [
        {"input_ids": np.zeros((2, 2, 2), np.int64)},
        {"input_ids": np.zeros((2, 2), np.float32)},
        {"input_ids": np.full((1, 1), 10**6)},
        {"input_ids": np.full((1, 1), -1)},
        {"input_ids": np.zeros((2, 2), np.int64), "attention_mask": np.zeros((2, 3), np.int64)},
        {"input_ids": np.zeros((2, 2), np.int64), "attention_mask": np.zeros((3, 2), np.int64)},
        {"attention_mask": np.zeros((2, 2), np.int64)},
        {"input_ids": np.zeros((2, 2), np.int64), "no_such_input": np.zeros((2, 2), np.int64)},
    ],
)
def test_arrays(classifier: Path, inputs: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        AutoModelForSequenceClassification.from_pretrained(classifier)(**inputs)


def test_unknown_task(classifier: Path) -> None:
    with pytest.raises(TaskError, match=r"Unknown task 'sentiment'; available are .*sentiment-analysis"):
        pipeline("sentiment", classifier)


def test_unknown_option(classifier: Path) -> None:
    with pytest.raises(OptionError, match=r"no option 'topk'; it takes .*top_k"):
        pipeline("text-classification", classifier, topk=3)


def test_artifact_for_another_head(classifier: Path) -> None:
    for load in (
        lambda: AutoModelForQuestionAnswering.from_pretrained(classifier),
        lambda: pipeline("question-answering", classifier),
        lambda: load_model(classifier, "question-answering"),
    ):
        with pytest.raises(TaskError, match="was exported for text-classification"):
            load()


def test_folder_with_only_pytorch_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    (tmp_path / "model.safetensors").write_bytes(b"x")
    for load in (lambda: AutoModel.from_pretrained(tmp_path), lambda: pipeline("embed", tmp_path)):
        with pytest.raises(NotExportedError, match=r"headway export .* OUT`, or pass export=True"):
            load()


def test_folder_that_is_empty_or_missing(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "no" / "such" / "folder"):
        for load in (AutoModel.from_pretrained, AutoConfig.from_pretrained, AutoTokenizer.from_pretrained, pipeline):
            with pytest.raises((ArtifactNotFoundError, OptionError)):
                load(folder) if load is not pipeline else load("embed", folder)


@pytest.mark.parametrize("name", FILES)
def test_missing_file(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    if name in ("headway.json", "config.json", "tokenizer_config.json"):
        # These can be done without: what they say has defaults, or is given by the call.
        assert pipeline("text-classification", damaged)("good")[0]["score"] > 0
        return
    with pytest.raises((CorruptArtifactError, ArtifactNotFoundError), match=Path(name).name):
        pipeline("text-classification", damaged)


@pytest.mark.parametrize("name", FILES)
def test_folder_in_place_of_a_file(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    (damaged / name).mkdir()
    with pytest.raises((CorruptArtifactError, ArtifactNotFoundError), match=Path(name).name):
        pipeline("text-classification", damaged)


@pytest.mark.parametrize("name", FILES)
def test_link_to_nothing_in_place_of_a_file(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    (damaged / name).symlink_to("nothing")
    with pytest.raises((CorruptArtifactError, ArtifactNotFoundError), match=Path(name).name):
        pipeline("text-classification", damaged)


@pytest.mark.parametrize("name", FILES)
def test_empty_file(damaged: Path, name: str) -> None:
    (damaged / name).write_bytes(b"")
    with pytest.raises(CorruptArtifactError, match=Path(name).name):
        pipeline("text-classification", damaged)


def load_and_call(folder: Path) -> None:
    """What a user does; only errors of the project may come out."""
    classify = pipeline("text-classification", folder, device="cpu", num_threads=1)
    classify(["good film", "the film was very bad ."])


def works_with(path: Path, content: bytes, folder: Path) -> bool:
    """Whether an artifact works with another file content; anything but a HeadwayError fails the test."""
    path.write_bytes(content)
    try:
        load_and_call(folder)
    except HeadwayError:
        return False
    return True


@pytest.mark.parametrize("name", FILES)
def test_truncated_at_many_places(damaged: Path, name: str) -> None:
    content = (damaged / name).read_bytes()
    step = max(1, len(content) // 40)
    for length in range(0, len(content.rstrip()) - 1, step):
        works = works_with(damaged / name, content[:length], damaged)
        assert not works, f"{name} cut to {length} of {len(content)} bytes was accepted"


@pytest.mark.parametrize("name", FILES)
def test_flipped_bytes(damaged: Path, name: str) -> None:
    content = (damaged / name).read_bytes()
    draw = random.Random(name)
    outcomes = []
    for _ in range(80):
        changed = bytearray(content)
        for _ in range(draw.choice([1, 1, 3])):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        outcomes.append(works_with(damaged / name, changed, damaged))
    assert not all(outcomes)


JSON_VALUES: list[Any] = [None, True, -1, 0, 10**30, 1.5, "", "x", [], [None], {}, {"x": {}}]


def every_value_replaced(values: Any) -> list[Any]:
    """Copies of a JSON object, each with one of its values, at any depth, of another type."""
    copies = []
    draw = random.Random(0)

    def visit(node: Any, rebuild: Callable[[Any], Any]) -> None:
        copies.append(rebuild(draw.choice(JSON_VALUES)))
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in list(items)[:6]:

            def rebuild_child(new: Any, key: Any = key) -> Any:
                changed = dict(node) if isinstance(node, dict) else list(node)
                changed[key] = new
                return rebuild(changed)

            visit(child, rebuild_child)

    for _ in range(3):
        visit(values, lambda new: new)
    return copies


@pytest.mark.parametrize("name", FILES[:4])
def test_values_of_other_types(damaged: Path, name: str) -> None:
    copies = every_value_replaced(json.loads((damaged / name).read_text()))
    assert len(copies) > 20
    for values in copies:
        works_with(damaged / name, json.dumps(values).encode(), damaged)


def test_manifest_of_a_newer_format(damaged: Path) -> None:
    (damaged / "headway.json").write_text(json.dumps({"format_version": 2, "layout": "unknown today"}))
    for load in (load_model, lambda folder: pipeline("text-classification", folder)):
        with pytest.raises(UnsupportedFormatError, match=r"has format version 2; .* Upgrade headway"):
            load(damaged)


@pytest.mark.parametrize("path", ["../outside.onnx", "/etc/passwd", "onnx/../../outside.onnx"])
def test_manifest_that_names_files_outside(damaged: Path, path: str) -> None:
    shutil.copyfile(damaged / "onnx" / "model.onnx", damaged.parent / "outside.onnx")
    values = json.loads((damaged / "headway.json").read_text())
    values["variants"]["fp32"]["files"][0]["path"] = path
    values["variants"]["fp32"]["components"]["model"]["file"] = path
    (damaged / "headway.json").write_text(json.dumps(values))
    with pytest.raises(UnsafeArtifactError, match="outside its folder"):
        load_model(damaged)


def test_path_with_spaces_and_unicode(classifier: Path) -> None:
    assert " " in classifier.name
    assert not classifier.name.isascii()
    load_and_call(classifier)


def test_every_error_can_be_caught_as_the_builtin_it_resembles(classifier: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    for call, builtin in (
        (lambda: model(None), ValueError),
        (lambda: model([["a"]]), TypeError),
        (lambda: AutoModel.from_pretrained(tmp_path), FileNotFoundError),
        (lambda: AutoModel.from_pretrained(classifier), ValueError),
        (lambda: load_model(classifier, device="tpu"), ValueError),
        (lambda: load_model(classifier, device="cuda"), RuntimeError),
    ):
        with pytest.raises(builtin) as caught:
            call()
        assert isinstance(caught.value, HeadwayError)
