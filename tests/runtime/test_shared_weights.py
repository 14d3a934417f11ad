"""Two graphs of one model read one file of weights, where both hold the same numbers."""

import errno
from pathlib import Path
from typing import Any

import foreign_folders as foreign
import numpy as np
import onnx
import pytest
from foreign_folders import greedy, sum_logits
from onnx import TensorProto, helper, numpy_helper

from headway.runtime import AutoModelForCausalLM, AutoModelForSeq2SeqLM, session_cache
from headway.runtime.errors import CorruptArtifactError
from headway.runtime.onnx_file import stored_tensors
from headway.runtime.session import SessionOptions
from headway.runtime.shared_weights import open_sharing

PROMPT = [4, 9, 5]
_PRODUCT_TYPES = {"MatMul": np.float32, "MatMulInteger": np.int32}
SIZED = {"words": foreign.WORDS, "places": foreign.PLACES, "head": foreign.HEAD}


def _answer(folder: Path) -> list[int]:
    model = AutoModelForCausalLM.from_pretrained(folder, device="cpu", num_threads=1)
    output = model.generate(np.array([PROMPT]), max_new_tokens=5, do_sample=False, eos_token_id=None)
    return [int(token) for token in output[0, len(PROMPT) :]]


def test_where_weights_lie(tmp_path: Path) -> None:
    foreign.write_transformers_export(tmp_path)
    beside = {tensor.name: tensor for tensor in stored_tensors(tmp_path / "decode.onnx") if tensor.location}
    assert {name: tensor.location for name, tensor in beside.items()} == dict.fromkeys(SIZED, "decode.onnx.data")
    foreign.sum_decoder().save(tmp_path / "model.onnx")
    inside = {tensor.name: tensor for tensor in stored_tensors(tmp_path / "model.onnx") if tensor.name in SIZED}
    for found, file in ((beside, "decode.onnx.data"), (inside, "model.onnx")):
        data = (tmp_path / file).read_bytes()
        for name, values in SIZED.items():
            tensor = found[name]
            assert (tensor.data_type, tensor.shape) == (TensorProto.FLOAT, values.shape)
            assert data[tensor.offset : tensor.offset + tensor.length] == values.tobytes()


def test_prompts_and_steps_read_the_same_numbers(tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path)
    decoder = AutoModelForCausalLM.from_pretrained(folder, device="cpu").decoder
    step, prefill = decoder.session.options, decoder.prefill_session.options
    assert set(step.weights) == set(prefill.weights) == set(SIZED)
    addresses = [{name: value.data_ptr() for name, value in options.weights.items()} for options in (step, prefill)]
    assert addresses[0] == addresses[1]
    assert not step.prepack
    # What it reads is the first graph's file: the other's may be gone by then.
    (folder / "decode.onnx.data").unlink()
    assert _tokens(decoder) == greedy(sum_logits, PROMPT, 5)


def test_what_two_graphs_share_needs_no_prepared_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(session_cache.SWITCH, str(tmp_path / "cache"))
    monkeypatch.setattr(session_cache, "MIN_MODEL_BYTES", 0)
    folder = foreign.write_transformers_export(tmp_path / "out")
    decoder = AutoModelForCausalLM.from_pretrained(folder, device="cpu", session_cache=True).decoder
    assert set(decoder.session.options.weights) == set(SIZED)
    assert not (tmp_path / "cache").exists()
    assert _tokens(decoder) == greedy(sum_logits, PROMPT, 5)


def _write_inline_export(folder: Path) -> Path:
    """The same pair with the weights of each graph inside its ONNX file."""
    foreign.write_transformers_export(folder)
    for name in ("prefill", "decode"):
        onnx.save(onnx.load(folder / f"{name}.onnx"), folder / f"{name}.onnx")
        (folder / f"{name}.onnx.data").unlink()
    return folder


def test_weights_inside_the_graphs_are_held_once(tmp_path: Path) -> None:
    decoder = AutoModelForCausalLM.from_pretrained(_write_inline_export(tmp_path), device="cpu").decoder
    step, prefill = decoder.session.options.weights, decoder.prefill_session.options.weights
    assert set(step) == set(prefill) == set(SIZED)
    for name, value in step.items():
        assert value.data_ptr() == prefill[name].data_ptr()
        # They begin at any byte of the files.
        assert value.data_ptr() % 4 == 0
        np.testing.assert_array_equal(value.numpy(), SIZED[name])
    assert _tokens(decoder) == greedy(sum_logits, PROMPT, 5)


def test_optimums_pair_is_held_once(tmp_path: Path) -> None:
    foreign.write_config(tmp_path, architectures=["LlamaForCausalLM"], max_position_embeddings=64)
    foreign.sum_decoder(past=None).save(tmp_path / "decoder_model.onnx")
    foreign.sum_decoder().save(tmp_path / "decoder_with_past_model.onnx")
    decoder = AutoModelForCausalLM.from_pretrained(tmp_path, device="cpu").decoder
    assert set(decoder.session.options.weights) == set(decoder.prefill_session.options.weights) == set(SIZED)
    assert _answer(tmp_path) == greedy(sum_logits, PROMPT, 5)


def test_what_callers_may_replace_is_not_shared(tmp_path: Path) -> None:
    folder = _write_inline_export(tmp_path)
    model = onnx.load(folder / "decode.onnx")
    model.graph.input.append(helper.make_tensor_value_info("places", TensorProto.FLOAT, foreign.PLACES.shape))
    onnx.save(model, folder / "decode.onnx")
    sessions = open_sharing([folder / "prefill.onnx", folder / "decode.onnx"], folder, SessionOptions(device="cpu"))
    assert [set(session.options.weights) for session in sessions] == [{"words", "head"}, {"words", "head"}]


def _write_product(path: Path, weights: np.ndarray, operator: str) -> Path:
    types = (("values", weights.dtype, (2, len(weights))), ("products", _PRODUCT_TYPES[operator], (2, len(weights))))
    kinds = [helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for _, dtype, _ in types]
    values, products = (
        helper.make_tensor_value_info(name, kind, shape) for (name, _, shape), kind in zip(types, kinds, strict=True)
    )
    node = helper.make_node(operator, ["values", "weights"], ["products"])
    graph = helper.make_graph([node], "graph", [values], [products], [numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


@pytest.mark.parametrize(("operator", "dtype"), [("MatMul", "float32"), ("MatMulInteger", "uint8")])
def test_weights_that_kernels_pack_are_not_shared(tmp_path: Path, operator: str, dtype: str) -> None:
    weights = np.arange(64 * 64).reshape(64, 64).astype(dtype)
    values = np.arange(128).reshape(2, 64).astype(dtype)
    paths = [_write_product(tmp_path / f"{name}.onnx", weights, operator) for name in ("first", "second")]
    for session in open_sharing(paths, tmp_path, SessionOptions(device="cpu")):
        assert bool(session.options.weights) == (not session.options.prepack) == (operator == "MatMul")
        wide = _PRODUCT_TYPES[operator]
        np.testing.assert_allclose(session.run({"values": values})[0], values.astype(wide) @ weights.astype(wide))


def _tokens(decoder: Any) -> list[int]:
    cache = decoder.new_cache(1, 16)
    scores = decoder.extend(cache, [np.array(PROMPT)])
    found = []
    for _ in range(5):
        found.append(int(scores[0].argmax()))
        scores = decoder.decode(cache, np.array(found[-1:]))
    return found


def test_other_numbers_are_not_shared(tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path)
    tensor = next(tensor for tensor in stored_tensors(folder / "decode.onnx") if tensor.name == "head")
    data = bytearray((folder / "decode.onnx.data").read_bytes())
    data[tensor.offset : tensor.offset + tensor.length] = (foreign.HEAD * 2).astype(np.float32).tobytes()
    (folder / "decode.onnx.data").write_bytes(data)
    decoder = AutoModelForCausalLM.from_pretrained(folder, device="cpu").decoder
    assert set(decoder.session.options.weights) == {"words", "places"}
    # Twice the logits: the same token is the likeliest.
    assert _answer(folder) == greedy(sum_logits, PROMPT, 5)


def test_encoder_decoders_share_too(tmp_path: Path) -> None:
    folder = foreign.write_transformers_seq2seq(tmp_path)
    for name in ("prefill", "decode"):
        onnx.save(
            onnx.load(folder / f"{name}.onnx"),
            folder / f"{name}.onnx",
            save_as_external_data=True,
            location=f"{name}.onnx.data",
            size_threshold=64,
        )
    foreign.write_config(folder, is_encoder_decoder=True, decoder_start_token_id=foreign.START_ID)
    graphs = AutoModelForSeq2SeqLM.from_pretrained(folder, device="cpu").graphs
    assert set(graphs.decoder.options.weights) == {"words", "head"}


@pytest.mark.parametrize("kept", [0, 0.5])
def test_data_that_is_cut_short(kept: float, tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path)
    data = (folder / "decode.onnx.data").read_bytes()
    (folder / "decode.onnx.data").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(CorruptArtifactError, match=r"from byte \d+ of decode.onnx.data, which has \d+ bytes"):
        open_sharing([folder / "prefill.onnx", folder / "decode.onnx"], folder)


def test_data_before_the_file(tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path)
    model = onnx.load(folder / "decode.onnx", load_external_data=False)
    entries = [entry for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "offset"]
    entries[0].value = "-64"
    (folder / "decode.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CorruptArtifactError, match="from byte -64 of"):
        open_sharing([folder / "prefill.onnx", folder / "decode.onnx"], folder)


def test_data_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = foreign.write_transformers_export(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    # Whoever runs the tests may read everything.
    monkeypatch.setattr(np, "memmap", refuse)
    with pytest.raises(CorruptArtifactError, match=r"prefill.onnx.data cannot be read: Permission denied"):
        open_sharing([folder / "prefill.onnx", folder / "decode.onnx"], folder)
