import pytest
import torch

from headway.benchmarks.tiny_checkpoints import tiny_model
from headway.export.decoder_experts import Gate, recognise_gate


def experts_of(model_type):
    model = tiny_model(model_type, "AutoModelForCausalLM")
    return next(module for module in model.modules() if hasattr(module, "_apply_gate"))


def test_silu_gates_are_recognised():
    assert recognise_gate(experts_of("mixtral")) == Gate()


def test_clamped_interleaved_gates_are_recognised():
    experts = experts_of("gpt_oss")
    assert recognise_gate(experts) == Gate(experts.alpha, 1.0, float(experts.limit), is_interleaved=True)


@pytest.mark.parametrize("activation", [torch.nn.GELU(), torch.nn.ReLU()])
def test_other_activations_are_not(activation):
    experts = experts_of("mixtral")
    experts.act_fn = activation
    assert recognise_gate(experts) is None
