import pytest
import torch

from headway.benchmarks.tiny_checkpoints import tiny_model
from headway.export.decoder_rotary import rotary_as_operator

RECOGNISED = {
    "cohere": {"model.rotary_emb"},
    "gemma3_text": {"model.rotary_emb (full_attention)", "model.rotary_emb (sliding_attention)"},
    "glm": {"model.rotary_emb"},
    "gpt2": set(),
    "gpt_neox": {"gpt_neox.rotary_emb"},
    "gpt_oss": {"model.rotary_emb"},
    "llama": {"model.rotary_emb"},
    "phi": {"model.rotary_emb"},
}


@pytest.mark.parametrize("model_type", RECOGNISED)
def test_rotations_are_recognised_by_what_they_compute(model_type):
    model = tiny_model(model_type, "AutoModelForCausalLM")
    with rotary_as_operator(model, 64) as rotary:
        assert rotary.recognised == RECOGNISED[model_type]


def test_an_unknown_rotation_is_left_alone(monkeypatch):
    from transformers.models.llama import modeling_llama

    def apply_backwards(q, k, cos, sin, unsqueeze_dim=1):
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        return q * cos - modeling_llama.rotate_half(q) * sin, k * cos - modeling_llama.rotate_half(k) * sin

    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", apply_backwards)
    with rotary_as_operator(tiny_model("llama", "AutoModelForCausalLM"), 64) as rotary:
        assert rotary.recognised == set()
        assert modeling_llama.apply_rotary_pos_emb is apply_backwards


def test_everything_is_put_back():
    from transformers.models.llama import modeling_llama

    original = modeling_llama.apply_rotary_pos_emb
    model = tiny_model("llama", "AutoModelForCausalLM")
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = model(ids).logits
        with rotary_as_operator(model, 64):
            assert modeling_llama.apply_rotary_pos_emb is not original
        assert modeling_llama.apply_rotary_pos_emb is original
        assert torch.equal(before, model(ids).logits)
    assert not any("table" in name for name, _ in model.named_buffers())
