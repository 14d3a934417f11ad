"""PyTorch and ONNX Runtime on the same inputs, case by case; an export that disagrees is not written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from headway.runtime.errors import VerificationError
from headway.runtime.session import Session, SessionOptions

Array = NDArray[Any]
FP32_TOLERANCE = 1e-4


@dataclass(frozen=True)
class CaseResult:
    """How one case came out.

    ``error`` is the largest absolute difference over tokens that are not padding, relative to the largest absolute
    value PyTorch gives; None where PyTorch itself cannot run the case, and ``note`` then says why.
    """

    name: str
    error: float | None
    cosine: float | None
    note: str = ""


@dataclass(frozen=True)
class Verification:
    """All cases of one variant, and the tolerance they were held to."""

    tolerance: float
    cases: tuple[CaseResult, ...]

    @property
    def max_error(self) -> float:
        """Largest relative error of all cases."""
        return max((case.error for case in self.cases if case.error is not None), default=float("nan"))

    def to_dict(self) -> dict[str, Any]:
        """JSON form, kept in the manifest."""
        return {
            "reference": "PyTorch fp32",
            "tolerance": self.tolerance,
            "max_relative_error": self.max_error,
            "cases": [{key: value for key, value in vars(case).items() if value != ""} for case in self.cases],
        }


def verify_head(
    model: PreTrainedModel,
    onnx_path: Path,
    cases: Iterable[tuple[str, Mapping[str, torch.Tensor]]],
    outputs: tuple[str, ...],
    tolerance: float = FP32_TOLERANCE,
) -> Verification:
    """Compare the graph with the model on every case.

    Raises:
        VerificationError: a case differs by more than the tolerance, in shape, or runs in PyTorch only.
    """
    session = Session(onnx_path, options=SessionOptions(device="cpu"))
    return judge((_compare_case(model, session, name, inputs, outputs) for name, inputs in cases), tolerance)


def judge(results: Iterable[CaseResult], tolerance: float) -> Verification:
    """Hold every case to the tolerance.

    Raises:
        VerificationError: a case is over it, or PyTorch could run none.
    """
    verification = Verification(tolerance, tuple(results))
    failed = [case for case in verification.cases if case.error is not None and not case.error <= tolerance]
    if failed:
        figures = "; ".join(f"{case.name}: {case.note or f'{case.error:.2e}'}" for case in failed)
        raise VerificationError(
            f"ONNX Runtime and PyTorch disagree (relative error, at most {tolerance:.0e} allowed). {figures}. "
            "Nothing was written. Please report the architecture."
        )
    if all(case.error is None for case in verification.cases):
        raise VerificationError(f"PyTorch could run no case, so nothing was verified: {verification.cases[0].note}")
    return verification


def _compare_case(
    model: PreTrainedModel, session: Session, name: str, inputs: Mapping[str, torch.Tensor], outputs: tuple[str, ...]
) -> CaseResult:
    try:
        with torch.no_grad():
            result = model(**inputs, return_dict=True)
        expected = [result[output].float().numpy() for output in outputs]
    except (RuntimeError, IndexError, ValueError, AssertionError) as error:
        # A shape that PyTorch cannot run is not the export's fault, but the report says so.
        return CaseResult(name, None, None, f"PyTorch cannot run it: {_first_line(error)}")
    try:
        actual = session.run({key: tensor.numpy() for key, tensor in inputs.items()})
    except ValueError as error:
        return CaseResult(name, float("inf"), None, f"ONNX Runtime cannot run it: {_first_line(error)}")
    return _compare(name, expected, actual, inputs)


def _compare(name: str, expected: list[Array], actual: list[Array], inputs: Mapping[str, torch.Tensor]) -> CaseResult:
    errors, cosines = [], []
    for reference, value in zip(expected, actual, strict=True):
        if reference.shape != value.shape:
            return CaseResult(name, float("inf"), None, f"shape {value.shape} instead of {reference.shape}")
        kept, other = _without_padding(reference, inputs), _without_padding(value.astype(np.float32), inputs)
        errors.append(relative_error(kept, other))
        cosines.append(cosine_similarity(kept, other))
    return CaseResult(name, max(errors), min(cosines))


def relative_error(reference: Array, value: Array) -> float:
    """Largest absolute difference over the largest absolute reference; infinite where only one side is finite."""
    finite = np.isfinite(reference)
    if not np.array_equal(finite, np.isfinite(value)):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.abs(reference[finite]).max())
    difference = float(np.abs(reference[finite] - value[finite]).max())
    return difference / max(scale, float(np.finfo(np.float32).tiny))


def cosine_similarity(reference: Array, value: Array) -> float:
    """Cosine of the angle between two arrays read as vectors; 1 where both are zero."""
    one, other = np.nan_to_num(reference).ravel().astype(np.float64), np.nan_to_num(value).ravel().astype(np.float64)
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else float(np.array_equal(one, other))


def _without_padding(values: Array, inputs: Mapping[str, torch.Tensor]) -> Array:
    """Rows of real tokens where the values have a sequence axis; what stands on padding means nothing."""
    mask = inputs.get("attention_mask")
    if mask is None or mask.dim() != 2 or values.shape[:2] != tuple(mask.shape):
        return values
    return values[mask.numpy().astype(bool)]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
