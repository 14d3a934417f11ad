"""The OpenVINO provider itself, where the installed onnxruntime has it: `pip install headway[openvino]`."""

from pathlib import Path

import numpy as np
import pytest
from tiny_graphs import classifier_logits

from headway.runtime import AutoModelForSequenceClassification, pipeline
from headway.runtime.cpu_info import has_bfloat16
from headway.runtime.providers import OPENVINO_PROVIDER, import_onnxruntime

pytestmark = pytest.mark.skipif(
    OPENVINO_PROVIDER not in import_onnxruntime().get_available_providers(),
    reason="this onnxruntime has no OpenVINO provider",
)

SHAPES = [(1, 1), (1, 12), (5, 7), (2, 3), (5, 7)]


def answers(model):
    """Logits beside what they must be, for batches of several shapes, padded in part."""
    random = np.random.default_rng(0)
    for rows, length in SHAPES:
        ids = random.integers(0, 15, (rows, length))
        mask = np.ones_like(ids)
        mask[1:, length // 2 + 1 :] = 0
        yield model(ids, attention_mask=mask).logits, classifier_logits(ids, mask)


def test_shapes_are_dynamic_and_answers_are_those_of_float32(classifier: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier, device="openvino")
    assert model.device == "openvino"
    for got, expected in answers(model):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.skipif(has_bfloat16() is False, reason="this CPU has no bfloat16")
def test_bfloat16(classifier: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier, device="openvino", dtype="bf16")
    for got, expected in answers(model):
        np.testing.assert_allclose(got, expected, atol=0.03 * np.abs(expected).max())


def test_a_pipeline(classifier: Path) -> None:
    texts = ["the film was good", "bad", "not very good . a very very bad film"]
    on_cpu, on_openvino = (
        pipeline("text-classification", classifier, device=device, tuned=False)(texts, top_k=None)
        for device in ("cpu", "openvino")
    )
    for one, other in zip(on_cpu, on_openvino, strict=True):
        assert [entry["label"] for entry in one] == [entry["label"] for entry in other]
        np.testing.assert_allclose([e["score"] for e in one], [e["score"] for e in other], atol=1e-5)
