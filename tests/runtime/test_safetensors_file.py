from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from headway.runtime.errors import CorruptArtifactError
from headway.runtime.safetensors_file import read_safetensors


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {
        "single": np.float32([[1.5, -2.0, 3.0]]),
        "half": np.float16([0.5, 1.0]),
        "double": np.array(7.25),
        "whole": np.arange(6).reshape(2, 3),
        "small": np.int32([-1]),
        "empty": np.zeros((0, 4), dtype=np.float32),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "np"})
    read = read_safetensors(tmp_path / "a.safetensors")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    tensor = torch.tensor([[1.0, -3.140625], [65536.0, 1e-30]], dtype=torch.bfloat16)
    save_torch_file({"first": torch.zeros(3), "b": tensor}, tmp_path / "b.safetensors")
    read = read_safetensors(tmp_path / "b.safetensors")["b"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, tensor.float().numpy())


@pytest.mark.parametrize("num_bytes", [0, 5, 30, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, num_bytes: int) -> None:
    save_file({"a": np.ones((4, 4), dtype=np.float32)}, tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[:num_bytes])
    with pytest.raises(CorruptArtifactError, match="no whole safetensors file"):
        read_safetensors(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "header",
    [b"[]", b'{"a": 1}', b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', b'{"a": {"dtype": "X"}}'],
)
def test_a_wrong_header_is_refused(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CorruptArtifactError, match="no whole safetensors file"):
        read_safetensors(tmp_path / "a.safetensors")
