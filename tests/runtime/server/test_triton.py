"""Triton repositories: the configuration is read with Triton's own schema, and its parts are run."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from serving import backbone_model
from tiny_graphs import IDS, LABELS, write_artifact

from headway.runtime import pipeline
from headway.runtime.cli import main
from headway.runtime.errors import ArtifactError, OptionError, OutputExistsError, TaskError
from headway.runtime.manifest import TensorSpec
from headway.runtime.server.triton import write_triton_repository
from headway.runtime.server.triton_config import Scheduling, graph_config, has_batch_axis

TEXTS = ["good film", "a very bad film .", "not good"]


def module_at(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def parse() -> Callable[[Path], Any]:
    """Reads a config.pbtxt with the schema that tritonclient ships, whose package would ask for grpc."""
    package = importlib.util.find_spec("tritonclient")
    assert package is not None
    schema = module_at(
        Path(next(iter(package.submodule_search_locations or ()))) / "grpc/model_config_pb2.py", "schema"
    )
    return lambda path: text_format.Parse(path.read_text(encoding="utf-8"), schema.ModelConfig())


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("triton") / "classifier")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(
        tmp_path_factory.mktemp("triton") / "embedder", backbone_model(), "feature-extraction", "BertModel"
    )


def test_a_graph_and_its_configuration(classifier: Path, tmp_path: Path, parse: Callable[[Path], Any]) -> None:
    scheduling = Scheduling(max_batch_size=16, queue_delay_us=250, device="cpu", num_instances=2, num_threads=3)
    (folder,) = write_triton_repository(classifier, tmp_path / "repo", scheduling=scheduling)
    config = parse(folder / "config.pbtxt")
    assert (config.name, config.platform, config.max_batch_size) == ("classifier", "onnxruntime_onnx", 16)
    assert [(item.name, item.data_type, list(item.dims)) for item in config.input] == [
        ("input_ids", config.input[0].data_type, [-1]),
        ("attention_mask", config.input[0].data_type, [-1]),
    ]
    assert [(item.name, list(item.dims), item.label_filename) for item in config.output] == [
        ("logits", [len(LABELS)], "labels.txt")
    ]
    assert config.dynamic_batching.max_queue_delay_microseconds == 250
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (2, 2)  # KIND_CPU
    assert config.parameters["intra_op_thread_count"].string_value == "3"
    assert (folder / "labels.txt").read_text().split() == list(LABELS)
    session = onnxruntime.InferenceSession(folder / "1/model.onnx")
    assert [value.name for value in session.get_inputs()] == [item.name for item in config.input]


def test_types_are_tritons(parse: Callable[[Path], Any], tmp_path: Path) -> None:
    inputs = [TensorSpec("ids", "int64", IDS), TensorSpec("pixels", "float16", ("batch_size", 3, "height", "width"))]
    path = tmp_path / "config.pbtxt"
    path.write_text(graph_config("m", inputs, [TensorSpec("score", "float32", ("batch_size",))], Scheduling(), {}))
    config = parse(path)
    names = type(config).DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number
    assert [names[item.data_type].name for item in config.input] == ["TYPE_INT64", "TYPE_FP16"]
    assert list(config.input[1].dims) == [3, -1, -1]
    assert (list(config.output[0].dims), config.output[0].HasField("reshape")) == ([1], True)
    with pytest.raises(ArtifactError, match="complex64"):
        graph_config("m", [TensorSpec("x", "complex64", IDS)], [], Scheduling(), {})


def test_rows_are_joined_only_along_a_shared_axis(parse: Callable[[Path], Any], tmp_path: Path) -> None:
    texts, images = TensorSpec("input_ids", "int64", ("texts", "s")), TensorSpec("pixels", "float32", ("images", 3))
    logits = TensorSpec("logits", "float32", ("images", "texts"))
    assert has_batch_axis([texts])
    assert not has_batch_axis([texts, images])
    assert not has_batch_axis([TensorSpec("square", "float32", ("b", "b"))])
    assert not has_batch_axis([TensorSpec("fixed", "int64", (1, "s"))])
    path = tmp_path / "config.pbtxt"
    path.write_text(graph_config("m", [texts, images], [logits], Scheduling(), {}))
    config = parse(path)
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
    assert [list(item.dims) for item in config.input] == [[-1, -1], [-1, 3]]


def test_external_data_comes_along(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "large", backbone_model(), "feature-extraction", "BertModel")
    graph = artifact / "onnx/model.onnx"
    onnx.save_model(onnx.load(graph), graph, save_as_external_data=True, location="model.onnx_data", size_threshold=64)
    (artifact / "headway.json").unlink()
    (folder,) = write_triton_repository(artifact, tmp_path / "repo")
    ids = np.array([[5, 6]])
    session = onnxruntime.InferenceSession(folder / "1/model.onnx")
    assert session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0].shape == (1, 2, 8)


class Response:
    """Triton's InferenceResponse, as far as a model sees it."""

    def __init__(self, output_tensors: list[Any], error: Any = None) -> None:
        self.tensors = {tensor.name: tensor.values for tensor in output_tensors}
        self.error = error


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the module that Triton gives its Python models."""
    utils = ModuleType("triton_python_backend_utils")
    utils.InferenceResponse = Response  # type: ignore[attr-defined]
    utils.TritonError = str  # type: ignore[attr-defined]
    utils.Tensor = lambda name, values: SimpleNamespace(name=name, values=values)  # type: ignore[attr-defined]
    utils.get_input_tensor_by_name = lambda request, name: request[name]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)


def request(*texts: str | bytes) -> dict[str, Any]:
    rows = [[text.encode() if isinstance(text, str) else text] for text in texts]
    return {"text": SimpleNamespace(as_numpy=lambda: np.array(rows, dtype=np.object_))}


def text_model(folder: Path, config: Any) -> Any:
    model = module_at(folder / "1/model.py", "model").TritonPythonModel()
    parameters = {key: {"string_value": value.string_value} for key, value in config.parameters.items()}
    model.initialize(
        {
            "model_config": json.dumps({"parameters": parameters}),
            "model_repository": str(folder),
            "model_version": "1",
            "model_instance_kind": "CPU",
            "model_instance_device_id": "0",
        }
    )
    return model


def test_texts_get_what_the_pipeline_gives(
    embedder: Path, tmp_path: Path, parse: Callable[[Path], Any], backend: None
) -> None:
    _, folder = write_triton_repository(embedder, tmp_path / "repo", text=True, scheduling=Scheduling(num_threads=1))
    config = parse(folder / "config.pbtxt")
    assert (config.backend, list(config.output[0].dims)) == ("python", [8])
    first, second = text_model(folder, config).execute([request(*TEXTS[:2]), request(TEXTS[2])])
    expected = pipeline("embed", model=str(embedder), device="cpu")(TEXTS)
    np.testing.assert_allclose(first.tensors["embedding"], expected[:2], atol=1e-6)
    np.testing.assert_allclose(second.tensors["embedding"], expected[2:], atol=1e-6)


def test_a_text_that_cannot_be_used_fails_alone(
    classifier: Path, tmp_path: Path, parse: Callable[[Path], Any], backend: None
) -> None:
    _, folder = write_triton_repository(classifier, tmp_path / "repo", text=True)
    model = text_model(folder, parse(folder / "config.pbtxt"))
    good, bad = model.execute([request(TEXTS[0]), request(b"\xff\xfe")])
    expected = pipeline("text-classification", model=str(classifier), device="cpu")([TEXTS[0]])[0]
    got = json.loads(good.tensors["result"][0, 0])
    assert got["label"] == expected["label"]
    assert got["score"] == pytest.approx(expected["score"], abs=1e-6)
    assert "utf-8" in bad.error


def test_the_models_share_the_weights_on_disk(embedder: Path, tmp_path: Path) -> None:
    graph, text = write_triton_repository(embedder, tmp_path / "repo", text=True, name="words")
    assert [folder.name for folder in (graph, text)] == ["words", "words_text"]
    assert (graph / "1/model.onnx").samefile(text / "1/artifact/onnx/model.onnx")
    assert not (graph / "1/model.onnx").samefile(embedder / "onnx/model.onnx")


def test_what_is_there_is_kept_unless_asked_otherwise(classifier: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    write_triton_repository(classifier, repository, name="kept")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_triton_repository(classifier, repository, name="kept")
    (repository / "kept/old").touch()
    write_triton_repository(classifier, repository, name="kept", overwrite=True)
    assert sorted(path.name for path in repository.iterdir()) == ["kept"]
    assert not (repository / "kept/old").exists()


def test_what_triton_cannot_do_is_refused_and_leaves_nothing(
    chat_folder: Path, head_folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(TaskError, match="headway serve"):
        write_triton_repository(chat_folder, tmp_path / "repo")
    with pytest.raises(OptionError, match="--name"):
        write_triton_repository(head_folders["judge"], tmp_path / "repo", name="../up")
    assert not (tmp_path / "repo").exists()


def test_the_command(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["triton", str(classifier), str(tmp_path / "repo")]
    assert main([*arguments, "--name", "m", "--device", "cuda", "--threads", "2"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'repo/m'}\n"
    assert "KIND_GPU" in (tmp_path / "repo/m/config.pbtxt").read_text()
    for wrong in (["--device", "tpu"], ["--max-batch-size", "0"], ["--queue-delay-us", "-1"], []):
        assert main([*arguments, "--name", "m", *wrong]) == 1
        assert capsys.readouterr().err.startswith("headway: ")
