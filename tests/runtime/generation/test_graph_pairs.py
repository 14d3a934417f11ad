"""A graph of first tokens and one of later tokens that are not of one model."""

from collections.abc import Callable
from pathlib import Path

import foreign_folders as foreign
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headway.runtime import load_model
from headway.runtime.errors import UnsupportedFormatError


def _optimum(folder: Path) -> tuple[str, str, str]:
    foreign.write_config(folder, architectures=["LlamaForCausalLM"], max_position_embeddings=foreign.MAX_POSITIONS)
    foreign.sum_decoder(past=None).save(folder / "decoder_model.onnx")
    foreign.sum_decoder().save(folder / "decoder_with_past_model.onnx")
    return "decoder_model.onnx", "decoder_with_past_model.onnx", "present.1.key"


def _transformers(folder: Path) -> tuple[str, str, str]:
    foreign.write_transformers_export(folder)
    return "prefill.onnx", "decode.onnx", "past_key_values.layers.1.values"


def _encoder_decoder(folder: Path) -> tuple[str, str, str]:
    foreign.write_config(
        folder, architectures=["T5ForConditionalGeneration"], is_encoder_decoder=True, decoder_start_token_id=2
    )
    foreign.encoder_graph().save(folder / "encoder_model.onnx")
    foreign.cross_decoder(takes_past=False, takes_hidden=True).save(folder / "decoder_model.onnx")
    foreign.cross_decoder(takes_past=True, takes_hidden=False).save(folder / "decoder_with_past_model.onnx")
    return "decoder_model.onnx", "decoder_with_past_model.onnx", "present.1.decoder.key"


LAYOUTS = pytest.mark.parametrize("write", [_optimum, _transformers, _encoder_decoder])


@LAYOUTS
def test_a_layer_that_steps_leave_out(write: Callable[[Path], tuple[str, str, str]], tmp_path: Path) -> None:
    first, step, state = write(tmp_path)
    model = onnx.load(tmp_path / first)
    given = next(value.name for value in model.graph.output if value.name != "logits")
    model.graph.node.append(helper.make_node("Identity", [given], [state]))
    model.graph.output.append(helper.make_tensor_value_info(state, TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / first)
    with pytest.raises(UnsupportedFormatError, match=rf"{step} does not take {state}, which .*{first} gives"):
        load_model(tmp_path, device="cpu")


@LAYOUTS
def test_another_vocabulary(write: Callable[[Path], tuple[str, str, str]], tmp_path: Path) -> None:
    first, step, _ = write(tmp_path)
    model = onnx.load(tmp_path / step)
    (head,) = [tensor for tensor in model.graph.initializer if tensor.name == "head"]
    wider = np.concatenate([foreign.HEAD, foreign.HEAD], axis=1)
    head.CopyFrom(numpy_helper.from_array(wider, "head"))
    (logits,) = [value for value in model.graph.output if value.name == "logits"]
    logits.type.tensor_type.shape.dim[2].dim_value = wider.shape[1]
    onnx.save(model, tmp_path / step)
    with pytest.raises(UnsupportedFormatError, match=rf"{first} scores 23 tokens and .*{step} 46: they are of two"):
        load_model(tmp_path, device="cpu")


def test_steps_that_begin_anew_leave_nothing_out(tmp_path: Path) -> None:
    _optimum(tmp_path)
    foreign.sum_decoder(past=None).save(tmp_path / "decoder_with_past_model.onnx")
    model = load_model(tmp_path, device="cpu")
    row = [4, 9, 5]
    written = model.generate(np.array([row]), max_new_tokens=5, do_sample=False, eos_token_id=None)
    assert written[0, 3:].tolist() == foreign.greedy(foreign.sum_logits, row, 5)
