import numpy as np
import pytest
import torch
from transformers.masking_utils import (
    and_masks,
    bidirectional_mask_function,
    causal_mask_function,
    chunked_causal_mask_function,
    sliding_window_causal_mask_function,
)

from headway.benchmarks.tiny_checkpoints import tiny_model
from headway.export.decoder_attention import LayerSpec, layer_specs, pad_head
from headway.export.decoder_cache import MaskRule, PassThroughCache, RefusedError, mask_rule

NEITHER = "its attention mask is neither causal nor a sliding window"


@pytest.mark.parametrize("window", [1, 2, 8, 9, 100, 129, 130, 131, 4096, 131072])
def test_windows_are_found_whatever_their_size(window):
    assert mask_rule(sliding_window_causal_mask_function(window)) == MaskRule(window)


def test_causal_is_no_window():
    assert mask_rule(causal_mask_function) == MaskRule()


@pytest.mark.parametrize(
    "function",
    [
        bidirectional_mask_function,
        chunked_causal_mask_function(4, torch.zeros(1, dtype=torch.long)),
        and_masks(causal_mask_function, lambda batch, head, query, key: key % 3 != 1),
    ],
)
def test_other_masks_are_refused(function):
    assert mask_rule(function).refusal == NEITHER


def test_layers_tell_their_sizes_and_windows():
    model = tiny_model("gemma3_text", "AutoModelForCausalLM")
    model.config.sliding_window = 7
    windows = [7 if kind == "sliding_attention" else None for kind in model.config.layer_types]
    config = model.config
    expected = [LayerSpec(config.num_key_value_heads, config.head_dim, window) for window in windows]
    assert list(layer_specs(model)) == expected
    assert set(windows) == {7, None}


def test_head_sizes_are_rounded_up_to_what_the_operator_takes():
    states = torch.ones(1, 2, 3, 12)
    padded = pad_head(states, 16)
    assert padded.shape == (1, 2, 3, 16)
    assert padded[..., 12:].abs().sum() == 0
    assert pad_head(states, 12) is states


def test_the_models_own_attention_comes_back():
    model = tiny_model("llama", "AutoModelForCausalLM")
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = model(ids).logits
        layer_specs(model)
        after = model(ids).logits
    np.testing.assert_array_equal(before.numpy(), after.numpy())


def test_models_outside_the_interface_are_refused():
    with pytest.raises(RefusedError, match="the layers that attend through the interface are none"):
        layer_specs(tiny_model("bloom", "AutoModelForCausalLM"))


def test_attention_without_an_update_is_refused():
    cache = PassThroughCache()
    cache.update(torch.zeros(1), torch.zeros(1), 3)
    assert cache.take_layer() == 3
    with pytest.raises(RefusedError, match="no cache update"):
        cache.take_layer()
