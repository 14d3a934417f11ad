"""The manifest: written and read back, and every field's type checked."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from headway.runtime.artifact import FORMAT_VERSION, MANIFEST_FILE, Manifest, write_manifest
from headway.runtime.errors import CorruptArtifactError, UnsafeArtifactError, UnsupportedFormatError
from headway.runtime.manifest import Component, reads_weights_in_place


@pytest.fixture
def values(classifier: Path) -> dict[str, Any]:
    """The JSON form of a good manifest."""
    return json.loads((classifier / MANIFEST_FILE).read_text())


def changed(values: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with one value replaced; ``place`` is a dotted path, where a number is an index."""
    result = copy.deepcopy(values)
    *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    target: Any = result
    for part in parents:
        target = target[part]
    target[last] = value
    return result


def test_written_and_read_back(values: dict[str, Any], tmp_path: Path) -> None:
    manifest = Manifest.from_dict(values)
    write_manifest(tmp_path, manifest)
    assert Manifest.from_dict(json.loads((tmp_path / MANIFEST_FILE).read_text())) == manifest
    assert manifest.variants["fp32"].size_bytes == sum(entry.size_bytes for entry in manifest.variants["fp32"].files)
    spec = manifest.variants["fp32"].components["model"].inputs[0]
    assert (spec.name, spec.dtype, spec.shape, spec.rank) == (
        "input_ids",
        "int64",
        ("batch_size", "sequence_length"),
        2,
    )


@pytest.mark.parametrize(
    ("operators", "reads_in_place"),
    [
        ({"com.microsoft.FusedMatMul": 8, "com.microsoft.GroupQueryAttention": 2}, True),
        ({"com.microsoft.FusedMatMul": 8, "MatMul": 1}, False),
        ({"com.microsoft.FusedMatMul": 1, "Gemm": 1}, False),
        ({"com.microsoft.FusedMatMul": 1, "com.microsoft.MatMulNBits": 8}, False),
        ({"com.microsoft.FusedMatMul": 1, "com.microsoft.DynamicQuantizeMatMul": 8}, False),
        ({"com.microsoft.FusedMatMul": 1, "MatMulInteger": 8}, False),
        ({"Gather": 1}, False),
    ],
)
def test_weights_are_read_in_place_where_every_product_can(operators: dict[str, int], reads_in_place: bool) -> None:
    assert reads_weights_in_place(operators) == reads_in_place
    component = Component("onnx/model.onnx", (), (), 20, operators)
    assert component.reads_weights_in_place == reads_in_place


def test_names_of_later_versions_are_ignored(values: dict[str, Any]) -> None:
    assert Manifest.from_dict({**values, "from_the_future": 1}) == Manifest.from_dict(values)


def test_newer_format(values: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFormatError, match=rf"version {FORMAT_VERSION + 1}.*up to {FORMAT_VERSION}. Upgrade"):
        Manifest.from_dict({**values, "format_version": FORMAT_VERSION + 1}, origin="x/headway.json")


@pytest.mark.parametrize("version", [None, "1", True, 0, -3, 1.0])
def test_format_version_that_is_none(values: dict[str, Any], version: Any) -> None:
    with pytest.raises(CorruptArtifactError, match="format_version"):
        Manifest.from_dict({**values, "format_version": version})


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("task", 3, "task is 3; a text"),
        ("architecture", None, "architecture is None"),
        ("variants", [], "variants is .*an object"),
        ("variants", {}, "variants is empty"),
        ("variants.fp32", "model.onnx", "variants.fp32 is 'model.onnx'; an object"),
        ("variants.fp32.files", {}, "variants.fp32.files"),
        ("variants.fp32.files.0", 7, r"variants.fp32.files\[0\]"),
        ("variants.fp32.files.0.size_bytes", "12", r"files\[0\].size_bytes is '12'; a whole number"),
        ("variants.fp32.files.0.size_bytes", True, "size_bytes is True"),
        ("variants.fp32.files.0.sha256", None, "sha256"),
        ("variants.fp32.files", [], "lacks the graph 'onnx/model.onnx'"),
        ("variants.fp32.components", {}, "components is empty"),
        ("variants.fp32.components.model.inputs.0.shape", "batch", "shape"),
        ("variants.fp32.components.model.inputs.0.shape.0", 1.5, "a text or a whole number"),
        ("variants.fp32.components.model.operators", {"Gather": "many"}, "operators.Gather"),
        ("max_length", "512", "max_length is '512'; a whole number or null"),
        ("max_length", 0, "max_length is 0; at least 1"),
        ("warnings", "none", "warnings"),
        ("packages", {"torch": 2}, "packages.torch"),
        ("heads", [1], r"heads\[0\]"),
    ],
)
def test_wrong_types(values: dict[str, Any], place: str, value: Any, message: str) -> None:
    with pytest.raises(CorruptArtifactError, match=message):
        Manifest.from_dict(changed(values, place, value), origin="some/headway.json")


@pytest.mark.parametrize("name", ["task", "architecture", "model_type", "variants", "format_version"])
def test_missing_fields(values: dict[str, Any], name: str) -> None:
    del values[name]
    with pytest.raises(CorruptArtifactError, match=name):
        Manifest.from_dict(values)


@pytest.mark.parametrize(
    "path", ["../model.onnx", "/etc/passwd", "onnx/../../model.onnx", "..", "\\etc\\passwd", "..\\..\\model.onnx"]
)
@pytest.mark.parametrize("place", ["variants.fp32.files.0.path", "variants.fp32.components.model.file"])
def test_paths_that_leave_the_folder(values: dict[str, Any], place: str, path: str) -> None:
    both = changed(changed(values, "variants.fp32.files.0.path", path), "variants.fp32.components.model.file", path)
    with pytest.raises(UnsafeArtifactError, match="outside its folder"):
        Manifest.from_dict(both, origin="some/headway.json")
    with pytest.raises((UnsafeArtifactError, CorruptArtifactError)):
        Manifest.from_dict(changed(values, place, path), origin="some/headway.json")


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_paths_that_are_none(values: dict[str, Any], path: str) -> None:
    both = changed(changed(values, "variants.fp32.files.0.path", path), "variants.fp32.components.model.file", path)
    with pytest.raises(CorruptArtifactError, match="no path"):
        Manifest.from_dict(both)
