import numpy as np
import onnx
import onnx_ir
import pytest
from fusion_graphs import parse, run

from headway.export import graph as graph_module
from headway.export.graph import save_graph
from headway.export.onnx_writer import write_onnx

WEIGHTS = {
    "float": np.arange(12, dtype=np.float32).reshape(3, 4),
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "ids": np.array([2, 0]),
    "flag": np.array([True, False]),
    "scalar": np.array(7.5, dtype=np.float32),
    "empty": np.zeros((0, 4), dtype=np.float32),
}
GRAPH = """g (int64[batch] x) => (float[batch, 4] y) { y = Gather (float, x) }"""


def test_files_are_what_onnx_reads(tmp_path):
    model = parse(GRAPH, WEIGHTS)
    write_onnx(model, tmp_path / "model.onnx")
    written = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(written)
    read = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    assert read.keys() == WEIGHTS.keys()
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
    assert written.graph.node == onnx_ir.to_proto(model).graph.node


def test_lazy_weights_are_computed_when_written(tmp_path):
    model = parse(GRAPH, {"float": WEIGHTS["float"]})
    calls = []

    def compute():
        calls.append(1)
        return onnx_ir.tensor(WEIGHTS["float"] * 2)

    value = model.graph.initializers["float"]
    value.const_value = onnx_ir.LazyTensor(compute, dtype=onnx_ir.DataType.FLOAT, shape=onnx_ir.Shape([3, 4]))
    assert not calls
    write_onnx(model, tmp_path / "model.onnx")
    assert len(calls) == 1
    result = run(onnx_ir.load(tmp_path / "model.onnx"), {"x": np.array([1])})[0]
    np.testing.assert_array_equal(result, WEIGHTS["float"][[1]] * 2)


def test_a_weight_of_another_size_than_it_says_is_an_error(tmp_path):
    model = parse(GRAPH, {"float": WEIGHTS["float"]})
    wrong = onnx_ir.LazyTensor(
        lambda: onnx_ir.tensor(WEIGHTS["float"][:2]), dtype=onnx_ir.DataType.FLOAT, shape=onnx_ir.Shape([3, 4])
    )
    model.graph.initializers["float"].const_value = wrong
    with pytest.raises(ValueError, match="bytes"):
        write_onnx(model, tmp_path / "model.onnx")


def test_the_models_weights_stay_in_the_model(tmp_path):
    model = parse(GRAPH, WEIGHTS)
    write_onnx(model, tmp_path / "model.onnx")
    assert set(model.graph.initializers) == set(WEIGHTS)


PRODUCTS = {
    "in place": "y = com.microsoft.FusedMatMul <transB: int = 1> (x, weight)",
    "packed": "turned = Transpose <perm: ints = [1, 0]> (weight)\n y = MatMul (x, turned)",
}


@pytest.mark.parametrize(
    ("product", "limit_mib", "lies_beside"),
    [
        ("in place", 1, False),
        ("in place", 0, True),
        ("packed", 0, False),
    ],
)
def test_weights_that_are_read_in_place_lie_beside_the_graph(tmp_path, monkeypatch, product, limit_mib, lies_beside):
    """So they can be mapped; other graphs are one file up to a larger size."""
    monkeypatch.setattr(graph_module, "MAPPED_DATA_THRESHOLD_BYTES", limit_mib << 20)
    weight = np.ones((64, 64), np.float32)
    model = parse(f"g (float[batch, 64] x) => (float[batch, 64] y) {{ {PRODUCTS[product]} }}", {"weight": weight})
    files = save_graph(model, tmp_path / "onnx" / "model.onnx")
    names = ["model.onnx", "model.onnx_data"] if lies_beside else ["model.onnx"]
    assert [file.name for file in files] == names
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == set(names)
    external = onnx.load(files[0], load_external_data=False).graph.initializer[0].data_location
    assert external == (onnx.TensorProto.EXTERNAL if lies_beside else onnx.TensorProto.DEFAULT)
