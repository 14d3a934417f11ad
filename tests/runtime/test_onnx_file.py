"""ONNX files before ONNX Runtime reads them: external data that stays inside, and whole files."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_graphs import classifier_model, word_vectors

from headway.runtime.errors import (
    ArtifactError,
    ArtifactNotFoundError,
    CorruptArtifactError,
    InputError,
    UnsafeArtifactError,
)
from headway.runtime.onnx_file import check_onnx_file
from headway.runtime.session import Session, SessionOptions

CPU = SessionOptions(device="cpu", num_threads=1)


def external_tensor(location: str, name: str = "vectors") -> onnx.TensorProto:
    """A tensor of the size of the classifier's vectors whose bytes lie elsewhere."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=word_vectors().shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def classifier_with(location: str) -> onnx.ModelProto:
    """The classifier with its vectors in another file."""
    model = classifier_model()
    model.graph.initializer[0].CopyFrom(external_tensor(location))
    return model


def save(model: onnx.ModelProto, folder: Path) -> Path:
    # Not onnx.save, which refuses what these tests need.
    path = folder / "onnx" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def test_no_external_data(tmp_path: Path) -> None:
    path = save(classifier_model(), tmp_path)
    assert check_onnx_file(path, tmp_path) == []


def test_external_data_inside_is_read(tmp_path: Path) -> None:
    path = save(classifier_with("model.onnx_data"), tmp_path)
    (path.parent / "model.onnx_data").write_bytes(word_vectors().tobytes())
    assert check_onnx_file(path, tmp_path) == [path.parent / "model.onnx_data"]
    ids = np.array([[5, 6]])
    logits = Session(path, tmp_path, CPU).run({"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    np.testing.assert_allclose(logits, word_vectors()[[5, 6]].sum(axis=0, keepdims=True), rtol=1e-6)


def test_external_data_missing(tmp_path: Path) -> None:
    path = save(classifier_with("model.onnx_data"), tmp_path)
    with pytest.raises(ArtifactNotFoundError, match=r"needs its weights in .*model.onnx_data, which is missing"):
        Session(path, tmp_path, CPU)


def test_external_data_truncated(tmp_path: Path) -> None:
    path = save(classifier_with("model.onnx_data"), tmp_path)
    (path.parent / "model.onnx_data").write_bytes(word_vectors().tobytes()[:-8])
    with pytest.raises(CorruptArtifactError, match="cannot load"):
        Session(path, tmp_path, CPU)


@pytest.mark.parametrize("location", ["../../outside.bin", "../secret.bin", "a/../../../x", "..\\..\\x", ".."])
def test_external_data_above_the_folder(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "artifact"
    path = save(classifier_with(location), folder)
    (tmp_path / "outside.bin").write_bytes(word_vectors().tobytes())
    with pytest.raises(UnsafeArtifactError, match="outside its folder"):
        Session(path, folder, CPU)


def test_external_data_at_an_absolute_place(tmp_path: Path, outside: Path) -> None:
    path = save(classifier_with(str(outside)), tmp_path)
    with pytest.raises(UnsafeArtifactError, match="outside its folder"):
        Session(path, tmp_path, CPU)


def test_external_data_through_a_link(tmp_path: Path, outside: Path) -> None:
    path = save(classifier_with("model.onnx_data"), tmp_path)
    (path.parent / "model.onnx_data").symlink_to(outside)
    with pytest.raises(UnsafeArtifactError, match="is a link to"):
        Session(path, tmp_path, CPU)


def test_external_data_through_a_linked_folder(tmp_path: Path, outside: Path) -> None:
    path = save(classifier_with(f"sub/{outside.name}"), tmp_path)
    (path.parent / "sub").symlink_to(outside.parent)
    with pytest.raises(UnsafeArtifactError, match="is a link to"):
        Session(path, tmp_path, CPU)


def test_external_data_at_a_memory_address(tmp_path: Path) -> None:
    location = "*/_ORT_MEM_ADDR_/*"
    path = save(classifier_with(location), tmp_path)
    (path.parent / location).parent.mkdir(parents=True)
    (path.parent / location).write_bytes(b"x")
    with pytest.raises(UnsafeArtifactError, match="an address in memory"):
        Session(path, tmp_path, CPU)


def test_external_data_with_no_place(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match="no path"):
        check_onnx_file(save(classifier_with(""), tmp_path), tmp_path)


def in_constant_node(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=external_tensor("../../x")))


def in_tensor_list(model: onnx.ModelProto) -> None:
    attribute = onnx.AttributeProto(name="tensors", type=onnx.AttributeProto.TENSORS)
    attribute.tensors.append(external_tensor("../../x"))
    model.graph.node[0].attribute.append(attribute)


def in_subgraph(model: onnx.ModelProto) -> None:
    subgraph = helper.make_graph([], "branch", [], [], [external_tensor("../../x")])
    model.graph.node[0].attribute.append(helper.make_attribute("then_branch", subgraph))


def in_list_of_subgraphs(model: onnx.ModelProto) -> None:
    subgraph = helper.make_graph([], "branch", [], [], [external_tensor("../../x")])
    model.graph.node[0].attribute.append(helper.make_attribute("branches", [subgraph]))


def in_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["y"], value=external_tensor("../../x"))
    function = helper.make_function("local", "f", [], ["y"], [node], [helper.make_opsetid("", 17)])
    model.functions.append(function)


def in_function_default(model: onnx.ModelProto) -> None:
    function = helper.make_function("local", "f", [], [], [], [helper.make_opsetid("", 17)])
    function.attribute_proto.append(helper.make_attribute("value", external_tensor("../../x")))
    model.functions.append(function)


def in_training_graph(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(external_tensor("../../x"))


def in_sparse_initializer(model: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(values=external_tensor("../../x"), dims=[4])
    model.graph.sparse_initializer.append(sparse)


def in_sparse_attribute(model: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(values=external_tensor("../../x"), dims=[4])
    model.graph.node[0].attribute.append(helper.make_attribute("sparse_value", sparse))


def behind_another_location(model: onnx.ModelProto) -> None:
    tensor = external_tensor("inside.bin")
    tensor.external_data.add(key="location", value="../../x")
    model.graph.initializer[0].CopyFrom(tensor)


def beside_large_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(200_000, np.float32), "large"))
    subgraph = helper.make_graph([], "branch", [], [], [model.graph.initializer[-1], external_tensor("../../x")])
    model.graph.node[0].attribute.append(helper.make_attribute("then_branch", subgraph))


@pytest.mark.parametrize(
    "hide",
    [
        in_constant_node,
        in_tensor_list,
        in_subgraph,
        in_list_of_subgraphs,
        in_function,
        in_function_default,
        in_training_graph,
        in_sparse_initializer,
        in_sparse_attribute,
        behind_another_location,
        beside_large_weights,
    ],
)
def test_external_data_is_found_everywhere(tmp_path: Path, hide: Callable[[onnx.ModelProto], None]) -> None:
    model = classifier_model()
    hide(model)
    folder = tmp_path / "artifact"
    path = save(model, folder)
    (path.parent / "inside.bin").write_bytes(b"x")
    with pytest.raises(UnsafeArtifactError, match="outside its folder"):
        check_onnx_file(path, folder)


def varint(value: int) -> bytes:
    """A number of several bytes whose encoding is longer than it must be."""
    return bytes([value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_external_data_in_an_unusual_encoding(tmp_path: Path) -> None:
    # The key given twice, once as a number: protobuf takes the last text.
    entry = field(1, b"location") + b"\x08\x00" + field(2, b"../../x")
    tensor = field(13, entry)
    path = tmp_path / "model.onnx"
    path.write_bytes(field(7, field(5, tensor)))
    with pytest.raises(UnsafeArtifactError, match="outside its folder"):
        check_onnx_file(path, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"hello world, this is no model", "truncated or not an ONNX file"),
        (b"\x08\x09", "it holds no graph"),
        (b"\xff" * 64, "truncated or not an ONNX file"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "truncated or not an ONNX file"),
        (b"<html><body>404 not found</body></html>", "truncated or not an ONNX file"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=message):
        Session(path, tmp_path, CPU)


def test_deep_nesting(tmp_path: Path) -> None:
    graph = field(5, field(13, field(1, b"location") + field(2, b"x")))
    for _ in range(3000):
        graph = field(1, field(5, field(6, graph)))  # a graph in an attribute of a node of a graph
    path = tmp_path / "model.onnx"
    path.write_bytes(field(7, graph))
    with pytest.raises(CorruptArtifactError, match="truncated or not an ONNX file"):
        check_onnx_file(path, tmp_path)


def test_missing_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "model.onnx", tmp_path):
        with pytest.raises(ArtifactNotFoundError, match="is missing, or is no file"):
            Session(path, tmp_path, CPU)


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(classifier_model(), tmp_path)

    def deny(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(CorruptArtifactError, match="cannot be read: Permission denied"):
        check_onnx_file(path, tmp_path)


def test_truncated_anywhere(tmp_path: Path) -> None:
    content = classifier_model().SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CorruptArtifactError):
            Session(path, tmp_path, CPU)


def test_flipped_bytes(tmp_path: Path) -> None:
    """Whatever a byte becomes, the graph loads or is refused by an error of the project's own."""
    content = classifier_model().SerializeToString()
    path = tmp_path / "model.onnx"
    draw = random.Random(0)
    feeds = {"input_ids": np.array([[5, 6]]), "attention_mask": np.array([[1, 1]])}
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 1, 2, 4])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            session = Session(path, tmp_path, CPU)
        except ArtifactError:
            refused += 1
            continue
        if session.input_names == tuple(feeds):
            with contextlib.suppress(InputError):
                session.run(feeds)
    assert refused > 100
