"""Tiny checkpoints keep what parts of a configuration agree on, so that PyTorch runs them."""

import pytest
import torch
import transformers

from headway.benchmarks.tiny_checkpoints import tiny_checkpoint, tiny_config, tiny_model
from headway.benchmarks.tiny_sizes import HIDDEN_SIZE, VOCAB_SIZE


@pytest.mark.parametrize("model_type", ["cosmos3_edge_text", "glm4v_moe_text", "qwen2_5_vl_text"])
def test_rotary_sections_make_half_a_head(model_type):
    model = tiny_model(model_type)
    with torch.no_grad():
        result = model(input_ids=torch.tensor([[7, 8, 9]]))
    assert result.last_hidden_state.shape == (1, 3, HIDDEN_SIZE)


def test_parts_agree_on_widths():
    assert tiny_config("inkling2").vision_config.text_hidden_size == HIDDEN_SIZE
    assert tiny_config("pocket_tts").flow_head_config.condition_dim == HIDDEN_SIZE


def test_lists_of_ids_stay_lists_of_ids_that_fit():
    ids = tiny_config("ovis2").visual_indicator_token_ids
    assert len(set(ids)) == 5
    assert max(ids) < VOCAB_SIZE


def test_text_model_of_a_larger_one_is_found_by_the_larger_ones_config(tmp_path):
    folder = tiny_checkpoint(tmp_path, "llama4", "AutoModelForTextEncoding")
    assert transformers.AutoConfig.from_pretrained(folder).model_type == "llama4"
    model = transformers.AutoModelForTextEncoding.from_pretrained(folder)
    assert type(model).__name__ == "Llama4TextModel"


def test_text_encoder_of_an_encoder_decoder_is_no_encoder_decoder():
    assert type(tiny_model("t5gemma", "AutoModelForTextEncoding")).__name__ == "T5GemmaEncoderModel"
