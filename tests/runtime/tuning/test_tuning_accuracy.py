"""Which precisions may be used, and which answers are still the same."""

from types import SimpleNamespace

import numpy as np
import pytest

from headway.runtime.artifact import Variant
from headway.runtime.tuning.accuracy import Limits, cosine, has_drifted


def artifact_with(dtype, reference="fp32", limits=None, **figures):
    cases = [{"name": "texts", **figures}]
    variant = Variant({}, (), {"reference": reference, "limits": limits or {}, "cases": cases})
    return SimpleNamespace(manifest=SimpleNamespace(variants={dtype: variant, "fp32": Variant({}, ())}))


@pytest.mark.parametrize(
    ("asked", "figures", "refused"),
    [
        ({}, {"cosine": 0.5}, False),
        ({"min_cosine": 0.99}, {"cosine": 0.98}, True),
        ({"min_cosine": 0.98}, {"cosine": 0.98}, False),
        ({"min_top_1": 0.9}, {"cosine": 0.98, "top_1": 0.8}, True),
        ({"min_top_1": 0.9}, {"cosine": 0.98}, False),
        ({"max_perplexity_increase": 0.01}, {"perplexity_increase": 0.02}, True),
        ({"max_perplexity_increase": 0.03}, {"perplexity_increase": 0.02}, False),
    ],
    ids=str,
)
def test_a_precision_against_the_users_limits(asked, figures, refused):
    assert (Limits(asked).refusal(artifact_with("int8", **figures), "int8") is not None) == refused


def test_the_refusal_says_what_was_measured_and_what_is_asked_for():
    artifact = artifact_with("int8", cosine=0.95)
    assert Limits({"min_cosine": 0.99}).refusal(artifact, "int8") == "int8: cosine 0.9500, at least 0.99 asked for"
    assert Limits({"min_cosine": 0.99}).refusal(artifact, "fp32+int8") is not None


def test_float32_was_verified_by_another_measure():
    assert Limits({"min_cosine": 1.0}).refusal(artifact_with("fp32", "PyTorch fp32", cosine=0.9), "fp32") is None


def test_the_limit_on_what_is_measured_here():
    head = artifact_with("int8", limits={"min_cosine": 0.98}, cosine=0.99)
    language_model = artifact_with("q4", limits={"min_cosine": 0.97}, cosine=0.99, perplexity_increase=0.04)
    assert Limits().min_cosine(head, "int8") == 0.98
    assert Limits({"min_cosine": 0.5}).min_cosine(head, "int8") == 0.5
    assert Limits().min_cosine(head, "fp32") is None
    assert Limits().min_cosine(language_model, "q4") is None
    assert Limits().min_cosine(head, "fp32", "bf16") == 0.999
    assert Limits().min_cosine(SimpleNamespace(manifest=None), "int8") is None


def test_cosine_is_that_of_the_worst_output():
    one = [np.array([1.0, 0.0]), np.array([1.0, 1.0])]
    assert cosine(one, one) == pytest.approx(1.0)
    assert cosine(one, [np.array([1.0, 0.0]), np.array([1.0, -1.0])]) == pytest.approx(0.0)


@pytest.mark.parametrize("other", [[np.nan, 1.0], [np.inf, 1.0], [1.0, 2.0, 3.0]], ids=str)
def test_what_cannot_be_compared_is_no_match(other):
    assert cosine([np.array([1.0, 1.0])], [np.array(other)]) == 0.0


def test_zeros_equal_zeros_only():
    assert cosine([np.zeros(3)], [np.zeros(3)]) == 1.0
    assert cosine([np.zeros(3)], [np.ones(3)]) == 0.0


@pytest.mark.parametrize(
    ("value", "own", "drifted"),
    [(1.0, 1.0, False), (0.999995, 1.0, False), (0.9999, 1.0, True), (0.985, 0.99, False), (0.97, 0.99, True)],
)
def test_drift_is_measured_by_the_precisions_own_error(value, own, drifted):
    assert has_drifted(value, own) == drifted
    assert has_drifted(float("nan"), own)
