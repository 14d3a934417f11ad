"""Patched model code computes what the model's own does, seen without a trace: on texts of several lengths at once."""

import importlib

import pytest
import torch
import transformers

from headway.benchmarks.tiny_checkpoints import tiny_model
from headway.export.head_outputs import outputs_of
from headway.export.input_probe import probe_inputs
from headway.export.patches import model_patches
from headway.export.tasks import TASKS

# Choices are long enough for the separators that the model looks for.
_LENGTHS = {"multiple-choice": [13, 9, 6], "feature-extraction": [13, 1, 6]}


@pytest.mark.parametrize(
    ("task_name", "model_type", "loop"),
    [
        pytest.param("multiple-choice", "longformer", None, id="Longformer's choices"),
        pytest.param("feature-extraction", "fsmt", None, id="FSMT's target mask"),
        pytest.param("feature-extraction", "cpmant", None, id="CPM-Ant's mask"),
        pytest.param("feature-extraction", "rwkv", "rwkv", id="RWKV's means"),
        pytest.param("feature-extraction", "recurrent_gemma", "recurrent_gemma", id="RecurrentGemma's recurrence"),
        pytest.param("feature-extraction", "qwen4_exp_text", "qwen4_exp", id="Qwen4-exp's selection"),
    ],
)
def test_same_outputs(task_name, model_type, loop, monkeypatch):
    task = TASKS[task_name]
    model = tiny_model(model_type, task.auto_class)
    transformers.logging.set_verbosity_error()
    builder = probe_inputs(model, task, None).builder
    inputs = builder.build(_LENGTHS[task_name], seed=3)
    outputs = outputs_of(model, inputs, task.outputs)
    if loop:
        # What stands for any length in a trace: otherwise the loop is run as it is.
        monkeypatch.setattr(importlib.import_module(f"headway.export.patches.{loop}"), "is_any", lambda size: True)
    options = {"use_cache": False} if loop else {}
    with torch.no_grad():
        expected = model(**inputs, **options)
        with model_patches():
            actual = model(**inputs, **options)
    for name in outputs:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-4, atol=1e-5)
