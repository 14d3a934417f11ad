"""Tiny graphs written as text, rewritten by a fusion and run before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime

from headway.export.fusions.base import Fusion, FusionOutcome, apply_fusions

HEADER = '<ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1]>'


def parse(text: str, weights: Mapping[str, Any] | None = None, shapes: Mapping[str, Sequence[Any]] | None = None):
    """A model from ONNX's text form.

    Args:
        weights: initializers, name → array.
        shapes: shapes of inner values, which tracing would know; floats.
    """
    proto = onnx.parser.parse_model(HEADER + text)
    for name, array in (weights or {}).items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    for name, shape in (shapes or {}).items():
        proto.graph.value_info.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape)))
    return onnx_ir.from_proto(proto)


def run(model: onnx_ir.Model, feeds: Mapping[str, Any]) -> list[np.ndarray]:
    """Outputs of a graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    data = onnx_ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))


def operators(model: onnx_ir.Model) -> dict[str, int]:
    """Operator → number of nodes."""
    return dict(Counter(node.op_type for node in model.graph))


def rewritten(model: onnx_ir.Model, *fusions: Fusion, feeds: Mapping[str, Any]) -> tuple[FusionOutcome, ...]:
    """Apply fusions, and see that the outputs stay what they were."""
    before = run(model, feeds)
    outcomes = apply_fusions(model, fusions)
    for one, other in zip(before, run(model, feeds), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    return outcomes
