"""Recurrences as one ONNX Scan: the same outputs and states as transformers' loops, for texts of any length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import onnxruntime
import pytest
import torch
from transformers.models.kimi_linear import modeling_kimi_linear
from transformers.models.mamba import modeling_mamba
from transformers.models.qwen3_next import modeling_qwen3_next

from headway.export.conversion import convert_program
from headway.export.patches import model_patches
from headway.export.trace import quiet

_BATCH, _HEADS, _WIDTH = 2, 4, 8
# One token, less than a chunk of 64, exactly one, and more than two.
_LENGTHS = (1, 9, 64, 150)


def _delta_rule_inputs(length: int, *, key_heads: int, per_channel: bool) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(length)
    query, key = (torch.randn(_BATCH, length, key_heads, _WIDTH, generator=generator) for _ in range(2))
    value = torch.randn(_BATCH, length, _HEADS, _WIDTH, generator=generator)
    decay = -torch.rand(_BATCH, length, _HEADS, *([_WIDTH] if per_channel else []), generator=generator)
    beta = torch.rand(_BATCH, length, _HEADS, generator=generator)
    state = torch.randn(_BATCH, _HEADS, _WIDTH, _WIDTH, generator=generator)
    return query, key, value, decay, beta, state


def _gated_inputs(length: int) -> tuple[torch.Tensor, ...]:
    return _delta_rule_inputs(length, key_heads=2, per_channel=False)


def _kimi_inputs(length: int) -> tuple[torch.Tensor, ...]:
    return _delta_rule_inputs(length, key_heads=_HEADS, per_channel=True)


def _mamba_inputs(length: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(length)
    hidden, steps, gate = (torch.randn(_BATCH, 6, length, generator=generator) for _ in range(3))
    b, c = (torch.randn(_BATCH, _WIDTH, length, generator=generator) for _ in range(2))
    return hidden, steps, -torch.rand(6, _WIDTH, generator=generator), b, c, gate


def _gated_delta_rule(query: Any, key: Any, value: Any, decay: Any, beta: Any, state: Any) -> Any:
    rule = modeling_qwen3_next.torch_chunk_gated_delta_rule
    options = {"initial_state": state, "output_final_state": True, "use_qk_l2norm_in_kernel": True}
    return rule(query, key, value, g=decay, beta=beta, **options)


def _kimi_delta_attention(query: Any, key: Any, value: Any, decay: Any, beta: Any, state: Any) -> Any:
    rule = modeling_kimi_linear.chunk_kimi_delta_attention
    options = {"initial_state": state, "output_final_state": True, "use_qk_l2norm_in_kernel": True}
    return rule(query, key, value, g=decay, beta=beta, **options)


def _selective_scan(hidden: Any, steps: Any, a: Any, b: Any, c: Any, gate: Any) -> Any:
    scan = modeling_mamba.mamba_selective_scan
    return scan(hidden, steps, a, b, c, z=gate, delta_softplus=True, return_last_state=True)


class _Module(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


@pytest.mark.parametrize(
    ("function", "make_inputs", "length_axis"),
    [
        pytest.param(_gated_delta_rule, _gated_inputs, 1, id="gated delta rule"),
        pytest.param(_kimi_delta_attention, _kimi_inputs, 1, id="Kimi delta attention"),
        pytest.param(_selective_scan, _mamba_inputs, 2, id="selective scan"),
    ],
)
def test_a_graph_gives_what_the_loop_gives(
    tmp_path: Path, function: Callable[..., Any], make_inputs: Callable[[int], Any], length_axis: int
) -> None:
    example = make_inputs(11)
    names = [f"input_{index}" for index in range(len(example))]
    dynamic = torch.export.Dim.DYNAMIC
    shapes = tuple({length_axis: dynamic} if 11 in tensor.shape else {} for tensor in example)
    with quiet(), torch.no_grad(), model_patches():
        program = torch.export.export(_Module(function), example, dynamic_shapes=(shapes,), strict=False)
        graph = convert_program(program, {}, names, ["output", "last_state"])
    onnx_ir.save(graph, tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    for length in _LENGTHS:
        inputs = make_inputs(length)
        expected = function(*inputs)
        actual = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
        for reference, value in zip(expected, actual, strict=True):
            np.testing.assert_allclose(value, reference.numpy(), rtol=1e-4, atol=1e-5)
