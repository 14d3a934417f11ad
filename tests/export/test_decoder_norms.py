import pytest
import torch
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from headway.export.decoder_norms import norms_as_operators


class ScaledTwice(LlamaRMSNorm):
    """Looks like RMSNorm and computes something else."""

    def forward(self, hidden_states):
        return 2 * super().forward(hidden_states)


class OverTheWrongAxis(LlamaRMSNorm):
    """RMSNorm of another axis."""

    def forward(self, hidden_states):
        return super().forward(hidden_states.transpose(0, 1)).transpose(0, 1) + hidden_states.mean(0)


def randomised(module):
    torch.nn.init.normal_(module.weight)
    return module


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (LlamaRMSNorm(16, eps=1e-5), "RMSNorm"),
        (GemmaRMSNorm(16, eps=1e-6), "RMSNorm with weight + 1"),
        (CohereLayerNorm(16, eps=1e-5), "LayerNorm without bias"),
        (CohereLayerNorm((4, 16), eps=1e-5), "LayerNorm without bias"),
        (ScaledTwice(16), None),
        (OverTheWrongAxis(16), None),
        (torch.nn.LayerNorm(16), None),
        (torch.nn.Linear(16, 16, bias=False), None),
        (torch.nn.Embedding(4, 16), None),
    ],
)
def test_norms_are_recognised_by_what_they_compute(module, kind):
    holder = torch.nn.Sequential(randomised(module))
    with torch.no_grad(), norms_as_operators(holder) as recognised:
        assert recognised == ({} if kind is None else {kind: 1})
    assert "forward" not in vars(module)
    assert not list(module.buffers())
