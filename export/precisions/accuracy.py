"""How close a reduced precision stays to float32: cosine, top-1 agreement, perplexity, and the limits on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headway.runtime.errors import OptionError, VerificationError

from ..verify import cosine_similarity

Array = NDArray[Any]


@dataclass(frozen=True)
class AccuracyLimits:
    """What a variant must reach; None sets no limit.

    Args:
        min_cosine: cosine of a head's outputs with float32's.
        min_top_1: share of a head's answers that are float32's.
        max_perplexity_increase: how much higher a language model's perplexity on real text may be; 0.08 is 8 %.
    """

    min_cosine: float | None = None
    min_top_1: float | None = None
    max_perplexity_increase: float | None = None

    def of_a_glance(self) -> AccuracyLimits:
        """What a part of the text must reach for the whole to be scored: a short text's perplexity varies."""
        increase = self.max_perplexity_increase
        return self if increase is None else replace(self, max_perplexity_increase=2 * max(increase, 0.0))


DEFAULT_LIMITS: Mapping[str, AccuracyLimits] = {
    "fp16": AccuracyLimits(min_cosine=0.999, min_top_1=0.98, max_perplexity_increase=0.005),
    "q8": AccuracyLimits(min_cosine=0.999, min_top_1=0.98, max_perplexity_increase=0.01),
    "int8": AccuracyLimits(min_cosine=0.98, min_top_1=0.9, max_perplexity_increase=0.05),
    "q4": AccuracyLimits(min_cosine=0.97, min_top_1=0.85, max_perplexity_increase=0.08),
}
"""Precision → what it is held to unless the user says otherwise."""


def limits_of(dtype: str, overrides: Mapping[str, float | None]) -> AccuracyLimits:
    """A precision's limits, with the user's own in place of the defaults.

    Raises:
        OptionError: a limit is unknown or out of range.
    """
    names = {field.name for field in fields(AccuracyLimits)}
    unknown = sorted(set(overrides) - names)
    if unknown:
        raise OptionError(f"Unknown accuracy limit {unknown[0]!r}; there are {', '.join(sorted(names))}.")
    given = {name: value for name, value in overrides.items() if value is not None}
    for name, value in given.items():
        highest = float("inf") if name == "max_perplexity_increase" else 1.0
        if not -1 <= value <= highest:
            raise OptionError(f"{name} is {value}; it must be a number from -1 to {highest:g}.")
    return replace(DEFAULT_LIMITS.get(dtype, AccuracyLimits()), **given)


@dataclass(frozen=True)
class Accuracy:
    """How one variant compares with float32 on the same inputs; None where a figure has no meaning.

    Args:
        name: what it was measured on.
        cosine: of all outputs with float32's, the least of the outputs.
        top_1: share of places where the highest logit is float32's too.
        perplexity: of the text, in this precision.
        reference_perplexity: the same in float32.
    """

    name: str
    cosine: float
    top_1: float | None = None
    perplexity: float | None = None
    reference_perplexity: float | None = None

    @property
    def perplexity_increase(self) -> float | None:
        """Relative to float32; 0.02 is 2 % higher."""
        if self.perplexity is None or self.reference_perplexity is None:
            return None
        return self.perplexity / self.reference_perplexity - 1

    def misses(self, limits: AccuracyLimits) -> list[str]:
        """What is not reached, in words."""
        increase = self.perplexity_increase
        if increase is not None:
            allowed = limits.max_perplexity_increase
            # Not "increase > allowed": what is no number misses too.
            is_missed = allowed is not None and not increase <= allowed
            return [f"perplexity {increase:+.1%}, at most {allowed:+.1%} allowed"] if is_missed else []
        figures = {"cosine": (self.cosine, limits.min_cosine), "top-1 agreement": (self.top_1, limits.min_top_1)}
        return [
            f"{name} {value:.4f}, at least {least} wanted"
            for name, (value, least) in figures.items()
            if value is not None and least is not None and not value >= least
        ]

    def to_dict(self) -> dict[str, Any]:
        """The figures there are."""
        found = {**asdict(self), "perplexity_increase": self.perplexity_increase}
        return {name: value for name, value in found.items() if value is not None}


def require_accuracy(dtype: str, accuracy: Accuracy, limits: AccuracyLimits) -> None:
    """Refuse a variant that is too far from float32.

    Raises:
        VerificationError: the message holds what was measured, what is allowed, and how to allow more.
    """
    misses = accuracy.misses(limits)
    if misses:
        raise VerificationError(
            f"{dtype} is too far from fp32 on {accuracy.name}: {'; '.join(misses)}. Nothing was written. Leave {dtype} "
            "out, or allow more with --min-cosine, --min-top-1 or --max-perplexity-increase."
        )


def compare_outputs(name: str, pairs: Sequence[tuple[Mapping[str, Array], Mapping[str, Array]]]) -> Accuracy:
    """Figures of a head.

    Args:
        name: what it was measured on.
        pairs: float32's outputs and the variant's, run by run, padding left out.
    """
    outputs = list(pairs[0][0])
    cosines = {output: _cosine(pairs, output) for output in outputs}
    classes = [output for output in outputs if output.endswith("logits")]
    agreeing = [_agreement(one[output], other[output]) for output in classes for one, other in pairs]
    places = np.concatenate(agreeing) if agreeing else np.zeros(0)
    return Accuracy(name, min(cosines.values()), float(places.mean()) if len(places) else None)


def _cosine(pairs: Sequence[tuple[Mapping[str, Array], Mapping[str, Array]]], output: str) -> float:
    one, other = (np.concatenate([pair[side][output].ravel() for pair in pairs]) for side in (0, 1))
    return cosine_similarity(one.astype(np.float32), other.astype(np.float32))


def _agreement(expected: Array, actual: Array) -> Array:
    """Whether the highest of the last axis is the same; nothing where there is only one number to choose from."""
    if expected.shape[-1] < 2:
        return np.zeros(0)
    return np.asarray(expected.argmax(-1) == actual.argmax(-1)).ravel()


class TextScore:
    """Adds up what a language model and its float32 reference say about a text, window by window."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._losses, self._reference_losses = 0.0, 0.0
        self._agreeing, self._tokens = 0, 0
        self._products = np.zeros(3)

    def add(self, reference: Array, logits: Array, targets: Array) -> None:
        """Count one window.

        Args:
            reference: (tokens, vocab) float32 logits of float32.
            logits: (tokens, vocab) float32 logits of the variant.
            targets: (tokens,) the token that follows each.
        """
        self._losses += _loss(logits, targets)
        self._reference_losses += _loss(reference, targets)
        self._agreeing += int((reference.argmax(-1) == logits.argmax(-1)).sum())
        self._tokens += len(targets)
        one, other = reference.ravel(), logits.ravel()
        self._products += [float(one @ other), float(one @ one), float(other @ other)]

    def result(self) -> Accuracy:
        """The figures of all windows together."""
        product, one, other = self._products
        return Accuracy(
            f"{self.name}, {self._tokens} tokens",
            cosine=product / max(float(np.sqrt(one * other)), 1e-30),
            top_1=self._agreeing / self._tokens,
            perplexity=float(np.exp(self._losses / self._tokens)),
            reference_perplexity=float(np.exp(self._reference_losses / self._tokens)),
        )


def _loss(logits: Array, targets: Array) -> float:
    """Sum of the negative logarithms of the targets' probabilities."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    totals = np.log(np.exp(shifted).sum(axis=-1, dtype=np.float64))
    return float((totals - shifted[np.arange(len(targets)), targets]).sum())
