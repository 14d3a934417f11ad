"""What a conversion changes on the way from a traced program to a graph."""

import numpy as np
import onnx_ir
import onnxruntime
import pytest
import torch

from headway.export.conversion import convert_program
from headway.export.trace import quiet


class _Blocks(torch.nn.Module):
    """Sums of whole blocks of four rows, of which a short text has none."""

    def forward(self, rows):
        num_blocks = rows.shape[0] // 4
        return rows[: num_blocks * 4].view(num_blocks, 4, -1).sum(dim=1)


@pytest.mark.parametrize("num_rows", [1, 3, 4, 9])
def test_what_remains_of_no_rows_is_told(tmp_path, num_rows):
    example = torch.ones(11, 3)
    with quiet(), torch.no_grad():
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.export.export(_Blocks(), (example,), dynamic_shapes=shapes, strict=False)
        onnx_ir.save(convert_program(program, {}, ["rows"], ["sums"]), tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    rows = np.arange(3.0 * num_rows, dtype=np.float32).reshape(num_rows, 3)
    (actual,) = session.run(None, {"rows": rows})
    np.testing.assert_array_equal(actual, rows[: num_rows // 4 * 4].reshape(-1, 4, 3).sum(1))
