"""Attention of encoders: what it adds to a plain softmax is what transformers' own code adds."""

import pytest
import torch
import transformers
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import create_causal_mask
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

from headway.export.attention import INTERFACE_NAME, additive_attention, attention_implementation


class _Layer(torch.nn.Module):
    is_causal = False
    num_key_value_groups = 2
    head_dim = 8

    def __init__(self):
        super().__init__()
        self.sinks = torch.nn.Parameter(torch.tensor([3.0, -1.0, 0.5, 2.0]))
        self.eval()


def test_a_sink_takes_its_share_of_each_softmax():
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 5, 8, generator=generator)
    key, value = (torch.randn(2, 2, 5, 8, generator=generator) for _ in range(2))
    mask = torch.zeros(2, 1, 5, 5).masked_fill(torch.ones(5, 5).triu(1).bool(), torch.finfo(torch.float32).min)
    layer = _Layer()
    with torch.no_grad():
        expected, _ = eager_attention_forward(layer, query, key, value, mask, scaling=0.3)
        actual, _ = additive_attention(layer, query, key, value, mask, scaling=0.3, s_aux=layer.sinks)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


class _TextTower(torch.nn.Module):
    """Neither says that it is causal nor gets a mask where nothing is padding."""

    is_causal = False


@pytest.mark.parametrize("num_padded", [0, 2])
def test_a_causal_mask_that_pytorch_drops_hides_nothing(num_padded):
    config = transformers.GPT2Config(attn_implementation="sdpa")
    attention_mask = torch.ones(1, 6, dtype=torch.long)
    attention_mask[:, 6 - num_padded :] = 0
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, 6, 8, generator=generator) for _ in range(3))
    embeds, layer = torch.zeros(1, 6, 16), _TextTower()
    options = {"inputs_embeds": embeds, "attention_mask": attention_mask, "past_key_values": None}
    mask = create_causal_mask(config=config, **options)
    expected, _ = sdpa_attention_forward(layer, query, key, value, mask, is_causal=False)
    model = transformers.GPT2Model(transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=9)).eval()
    assert model.config._attn_implementation == "sdpa"
    with attention_implementation(model, INTERFACE_NAME):
        mask = create_causal_mask(config=model.config, **options)
        actual, _ = additive_attention(layer, query, key, value, mask, is_causal=False)
    torch.testing.assert_close(actual[:, : 6 - num_padded], expected[:, : 6 - num_padded], rtol=1e-5, atol=1e-6)
