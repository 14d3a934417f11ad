"""What a setup may answer: the limits that the folder's precisions carry, and no drift beyond the precision's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact, split_dtype

Answers = Sequence[NDArray[Any]]

LIMIT_NAMES = ("min_cosine", "min_top_1", "max_perplexity_increase")

# Figure of a verification case → the limit on it, and whether the limit is its lowest value.
_FIGURES: Mapping[str, tuple[str, bool]] = {
    "cosine": ("min_cosine", True),
    "top_1": ("min_top_1", True),
    "perplexity_increase": ("max_perplexity_increase", False),
}
_BFLOAT16_MIN_COSINE = 0.999
# What another order of the same sums may change, and how far rounding may go beyond the precision's own.
_SAME_NUMBERS, _MOST_DRIFT = 1e-5, 2.0


@dataclass(frozen=True)
class Limits:
    """What answers must reach beside what each precision was held to when it was exported.

    Args:
        asked: the user's own limits by name; they take the place of the recorded ones.
    """

    asked: Mapping[str, float] = field(default_factory=dict)

    def refusal(self, artifact: Artifact, dtype: str) -> str | None:
        """Why a precision may not be used, from the figures in the manifest; None where it may."""
        for part in split_dtype(dtype):
            for case in self._cases(artifact, str(part)):
                found = next(filter(None, (self._miss(name, value) for name, value in case.items())), None)
                if found:
                    return f"{part}: {found}"
        return None

    def min_cosine(self, artifact: Artifact, dtype: str, precision: str | None = None) -> float | None:
        """The least cosine with the most precise variant's answers; None where it is not what counts."""
        if "min_cosine" in self.asked:
            return self.asked["min_cosine"]
        if precision == "bf16":
            return _BFLOAT16_MIN_COSINE
        recorded = [self._recorded(artifact, str(part)) for part in split_dtype(dtype)]
        return min((limit for limit in recorded if limit is not None), default=None)

    def _recorded(self, artifact: Artifact, dtype: str) -> float | None:
        cases = list(self._cases(artifact, dtype))
        # A language model is held to its perplexity, of which single logits say little.
        if not cases or any("perplexity_increase" in case for case in cases) or artifact.manifest is None:
            return None
        limit = artifact.manifest.variants[dtype].verification.get("limits", {}).get("min_cosine")
        return float(limit) if isinstance(limit, int | float) else None

    def _cases(self, artifact: Artifact, dtype: str) -> list[Mapping[str, Any]]:
        variant = artifact.manifest.variants.get(dtype) if artifact.manifest else None
        verification = variant.verification if variant else {}
        cases = verification.get("cases")
        # Against PyTorch float32 was verified, by another measure.
        is_reduced = verification.get("reference") == "fp32"
        return [case for case in cases or () if isinstance(case, Mapping)] if is_reduced else []

    def _miss(self, figure: str, value: Any) -> str | None:
        name, is_lowest = _FIGURES.get(figure, ("", True))
        limit = self.asked.get(name)
        if limit is None or not isinstance(value, int | float) or (value >= limit if is_lowest else value <= limit):
            return None
        return f"{figure.replace('_', ' ')} {value:.4f}, {'at least' if is_lowest else 'at most'} {limit} asked for"


def cosine(one: Answers, other: Answers) -> float:
    """The least cosine of two models' outputs, output by output; 0 for what is no number."""
    found = [_cosine(first, second) for first, second in zip(one, other, strict=True)]
    return min(found, default=1.0)


def has_drifted(value: float, own: float) -> bool:
    """Whether a setup is further from the reference than its precision is untuned.

    Args:
        value: its cosine with the reference.
        own: the cosine of the same precision as it loads without tuning.
    """
    return not 1 - value <= _MOST_DRIFT * max(1 - own, 0.0) + _SAME_NUMBERS


def _cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    first, second = one.astype(np.float64), other.astype(np.float64)
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return 0.0
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms else float(np.array_equal(first, second))
