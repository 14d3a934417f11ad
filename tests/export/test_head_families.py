"""Tiny random checkpoints of many families, exported and run without torch: the same outputs as PyTorch's.

Families are chosen to differ in embeddings, positions and attention. Each takes a head or two in rotation; BERT and
ModernBERT take all. The full sweep is ``python -m headway.benchmarks.coverage``.
"""

import inspect

import numpy as np
import pytest
import torch
import transformers

from headway.benchmarks.tiny_checkpoints import tiny_checkpoint
from headway.export import export
from headway.runtime import load_model

TOLERANCE = 1e-4
SHAPES = ([1], [7], [9, 1, 5], [12, 12], [33, 20])

BACKBONE, SEQUENCE, TOKEN = "AutoModel", "AutoModelForSequenceClassification", "AutoModelForTokenClassification"
ANSWER, MASKED = "AutoModelForQuestionAnswering", "AutoModelForMaskedLM"
CHOICE, NEXT = "AutoModelForMultipleChoice", "AutoModelForNextSentencePrediction"
TASKS = {
    BACKBONE: "feature-extraction",
    SEQUENCE: "text-classification",
    TOKEN: "token-classification",
    ANSWER: "question-answering",
    MASKED: "fill-mask",
    CHOICE: "multiple-choice",
    NEXT: "next-sentence-prediction",
}
HEADS = {
    "bert": (BACKBONE, SEQUENCE, TOKEN, ANSWER, MASKED, CHOICE, NEXT),
    "modernbert": (BACKBONE, SEQUENCE, TOKEN, ANSWER, MASKED, CHOICE),
    "roberta": (SEQUENCE, MASKED),
    "distilbert": (ANSWER, CHOICE),
    "albert": (TOKEN,),
    "electra": (CHOICE,),
    "mpnet": (BACKBONE, MASKED),
    "deberta": (SEQUENCE,),
    "deberta-v2": (TOKEN, MASKED),
    "xlm-roberta": (ANSWER,),
    "mobilebert": (NEXT,),
    "squeezebert": (SEQUENCE,),
    "convbert": (TOKEN,),
    "roformer": (ANSWER,),
    "xlnet": (TOKEN,),
    "fnet": (MASKED,),
    "nystromformer": (SEQUENCE,),
    "rembert": (CHOICE,),
    "esm": (TOKEN,),
    "gpt2": (SEQUENCE,),
    "llama": (SEQUENCE, ANSWER),
    "bart": (SEQUENCE,),
    "t5": (TOKEN,),
    "funnel": (TOKEN,),
}
PAIRS = [(model_type, head) for model_type, heads in HEADS.items() for head in heads]


@pytest.mark.parametrize(("model_type", "head"), PAIRS, ids=lambda value: value.removeprefix("AutoModelFor"))
def test_same_outputs_as_pytorch(model_type, head, tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", model_type, head)
    report = export(checkpoint, tmp_path / "artifact", task=TASKS[head], progress=False)
    assert all(axis in KNOWN_AXES or isinstance(axis, int) for axis in _axes(report))
    reference = getattr(transformers, head).from_pretrained(checkpoint).eval()
    ours = load_model(tmp_path / "artifact", device="cpu", num_threads=1)
    ran = [_largest_error(reference, ours, lengths, seed) for seed, lengths in enumerate(SHAPES)]
    errors = [error for error in ran if error is not None]
    assert len(errors) >= 3, "PyTorch ran fewer than three of the shapes"
    assert max(errors) <= TOLERANCE


KNOWN_AXES = {"batch_size", "sequence_length", "num_choices"}


def _axes(report):
    component = report.manifest.variants["fp32"].components["model"]
    # Outputs of some heads have axes that are computed, such as Funnel's pooled length; inputs have none.
    return [axis for spec in component.inputs for axis in spec.shape]


def _largest_error(reference, ours, lengths, seed):
    """Largest difference on real tokens over the largest value, or None where PyTorch cannot run the shape."""
    inputs = _inputs(reference, ours, lengths, seed)
    accepted = inspect.signature(reference.forward).parameters
    try:
        with torch.no_grad():
            named = {name: torch.from_numpy(value) for name, value in inputs.items() if name in accepted}
            expected = reference(**named, return_dict=True)
    except (RuntimeError, IndexError, ValueError):
        return None
    actual = ours(**inputs)
    errors = []
    for name, value in actual.items():
        wanted, kept = expected[name].numpy(), inputs["attention_mask"].astype(bool)
        assert value.shape == wanted.shape
        if kept.ndim == 2 and wanted.shape[:2] == kept.shape:
            wanted, value = wanted[kept], value[kept]
        errors.append(np.abs(wanted - value).max() / np.abs(wanted).max())
    return max(errors)


def _inputs(reference, ours, lengths, seed):
    """Random ids, padded on the right as tokenizers do; made here and not by the exporter that is under test."""
    random = np.random.default_rng(seed)
    config = reference.config
    is_choice = ours.task == "multiple-choice"
    rows = [length for length in lengths for _ in range(2 if is_choice else 1)]
    mask = (np.arange(max(rows))[None] < np.array(rows)[:, None]).astype(np.int64)
    ids = random.integers(10, min(config.vocab_size, 90), mask.shape)
    if config.is_encoder_decoder and ours.task == "text-classification":
        ids[np.arange(len(rows)), np.array(rows) - 1] = config.eos_token_id
    pad_token_id = config.pad_token_id if config.pad_token_id is not None else 0
    inputs = {"input_ids": np.where(mask == 1, ids, pad_token_id), "attention_mask": mask}
    if "token_type_ids" in ours.session.input_names:
        inputs["token_type_ids"] = (np.arange(max(rows))[None] >= np.array(rows)[:, None] // 2) * mask
    shape = (len(lengths), 2, -1) if is_choice else mask.shape
    return {name: value.reshape(shape) for name, value in inputs.items()}
