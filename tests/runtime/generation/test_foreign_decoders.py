"""Decoders in the layouts of other exporters: the same tokens as the formula gives, through every way of generating."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign_folders as foreign
import numpy as np
import onnx
import pytest
from foreign_folders import END_ID, MAX_POSITIONS, VOCAB_SIZE, attention_logits, greedy
from foreign_layouts import DECODERS, transformers_chunks

from headway.runtime import AutoModelForCausalLM, load_model
from headway.runtime.errors import ArtifactNotFoundError, InputTooLongError, UnsupportedFormatError
from headway.runtime.generation.decoder import Decoder

ROWS = [[4, 9, 5, 17, 3], [8, 6]]
PADDED = np.array([[4, 9, 5, 17, 3], [0, 0, 0, 8, 6]])
MASK = (PADDED != 0).astype(np.int64)


@pytest.fixture(scope="module", params=DECODERS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A model in each layout, and the logits that it has to give."""
    write, logits, loop = DECODERS[request.param]
    model = load_model(write(tmp_path_factory.mktemp(request.param)), "text-generation", device="cpu", num_threads=1)
    assert isinstance(model.decoder, loop)
    return model, logits


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=1e-4)


def test_logits(loaded: tuple[Any, Any]) -> None:
    model, logits = loaded
    close(model(np.array(ROWS[:1])).logits[0], logits(ROWS[0]))
    output = model(PADDED, attention_mask=MASK)
    for row, tokens in enumerate(ROWS):
        close(output.logits[row][MASK[row] != 0], logits(tokens))
    more = model(np.array([[7, 11], [12, 10]]), past_key_values=output.past_key_values)
    for row, tokens in enumerate(ROWS):
        close(more.logits[row], logits([*tokens, *([7, 11], [12, 10])[row]])[-2:])


def test_greedy_rows_of_different_lengths(loaded: tuple[Any, Any]) -> None:
    model, logits = loaded
    output = model.generate(PADDED, attention_mask=MASK, max_new_tokens=9, do_sample=False, eos_token_id=None)
    assert [row[PADDED.shape[1] :].tolist() for row in output] == [greedy(logits, tokens, 9) for tokens in ROWS]


def test_beams_sampling_and_streaming(loaded: tuple[Any, Any]) -> None:
    model, logits = loaded
    # One beam of several is the best sequence of all two-token answers, which few enough tokens let us list.
    beams = model.generate(np.array([ROWS[0]]), max_new_tokens=2, num_beams=VOCAB_SIZE, eos_token_id=None)
    first = _log_softmax(logits(ROWS[0])[-1])
    second = np.stack([_log_softmax(logits([*ROWS[0], token])[-1]) for token in range(VOCAB_SIZE)])
    best = np.unravel_index((first[:, None] + second).argmax(), second.shape)
    assert beams[0, -2:].tolist() == [int(token) for token in best]
    streamed: list[int] = []

    class Streamer:
        def put(self, value: Any) -> None:
            streamed.extend(np.ravel(value).tolist())

        def end(self) -> None:
            streamed.append(-1)

    options = {"max_new_tokens": 6, "do_sample": True, "seed": 3, "eos_token_id": None}
    sampled = model.generate(np.array([ROWS[1]]), streamer=Streamer(), **options)
    assert [*sampled[0].tolist(), -1] == streamed
    assert np.array_equal(sampled, model.generate(np.array([ROWS[1]]), **options))


def test_prompt_lookup_goes_back(loaded: tuple[Any, Any]) -> None:
    model, logits = loaded
    prompt = [4, 9, 5, 4, 9, 5, 4, 9]
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "prompt_lookup_num_tokens": 3}
    assert model.generate(np.array([prompt]), **options)[0, len(prompt) :].tolist() == greedy(logits, prompt, 8)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def test_one_copy_of_the_weights_where_decode_takes_chunks(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(transformers_chunks(tmp_path / "chunks"), device="cpu")
    assert model.decoder.prefill_session is model.session
    model = AutoModelForCausalLM.from_pretrained(foreign.write_transformers_export(tmp_path / "one"), device="cpu")
    assert model.decoder.prefill_session.path.name == "prefill.onnx"


def _int32_inputs(model: onnx.ModelProto) -> None:
    for value in model.graph.input:
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            value.type.tensor_type.elem_type = onnx.TensorProto.INT32


def _one_row(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def _bfloat16_logits(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if "logits" in node.output)
    node.output[0] = "float_logits"
    model.graph.node.append(onnx.helper.make_node("Cast", ["float_logits"], ["logits"], to=onnx.TensorProto.BFLOAT16))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16


@pytest.mark.parametrize("change", [_int32_inputs, _one_row, _bfloat16_logits])
def test_shapes_and_types_of_their_own(change: Callable[[onnx.ModelProto], None], tmp_path: Path) -> None:
    foreign.sum_decoder().save(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    change(model)
    onnx.save(model, tmp_path / "model.onnx")
    decoder = load_model(foreign.write_config(tmp_path), device="cpu", num_threads=1)
    options = {"max_new_tokens": 6, "eos_token_id": None}
    output = decoder.generate(PADDED, attention_mask=MASK, do_sample=False, **options)
    assert [row[PADDED.shape[1] :].tolist() for row in output] == [greedy(foreign.sum_logits, row, 6) for row in ROWS]
    beams = decoder.generate(PADDED, attention_mask=MASK, num_beams=3, **options)
    alone = [decoder.generate(np.array([row]), num_beams=3, **options)[0, len(row) :].tolist() for row in ROWS]
    assert beams[:, PADDED.shape[1] :].tolist() == alone


def test_a_cache_in_bfloat16(tmp_path: Path) -> None:
    foreign.sum_decoder().save(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    past = next(value for value in model.graph.input if value.name == foreign.KEY)
    past.type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    for node in model.graph.node:
        node.input[:] = ["past_as_float" if name == foreign.KEY else name for name in node.input]
    cast = onnx.helper.make_node("Cast", [foreign.KEY], ["past_as_float"], to=onnx.TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UnsupportedFormatError, match=r"cache input past_key_values.0.key \[.*\] is in bfloat16"):
        load_model(foreign.write_config(tmp_path), device="cpu")


def _with_window(path: Path, name: str) -> None:
    """Let a graph take a number that has to be 8; its logits are no numbers otherwise."""
    model = onnx.load(path)
    model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ()))
    node = next(node for node in model.graph.node if "logits" in node.output)
    node.output[0] = "without_window"
    constants = {"eight": np.array(8), "right": np.array(0, np.float32), "wrong": np.array(np.nan, np.float32)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, key) for key, value in constants.items())
    for operator, inputs, output in (
        ("Equal", [name, "eight"], "is_eight"),
        ("Where", ["is_eight", "right", "wrong"], "added"),
        ("Add", ["without_window", "added"], "logits"),
    ):
        model.graph.node.append(onnx.helper.make_node(operator, inputs, [output]))
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=64)


def test_transformers_with_a_sliding_window(tmp_path: Path) -> None:
    """The width of the window is an input of both graphs; without a config that says it, it is named."""
    folder = foreign.write_transformers_export(tmp_path)
    for graph in ("prefill", "decode"):
        _with_window(folder / f"{graph}.onnx", "input.past_key_values.layers.0._sliding_window_tensor")
    with pytest.raises(UnsupportedFormatError, match=r"input input.past_key_values.layers.0._sliding_window_tensor"):
        load_model(folder, device="cpu")
    foreign.write_config(folder, sliding_window=8)
    # The config names no architecture: two such graphs are a language model's.
    model = load_model(folder, device="cpu")
    output = model.generate(np.array(ROWS[:1]), max_new_tokens=6, do_sample=False, eos_token_id=None)
    assert output[0, len(ROWS[0]) :].tolist() == greedy(foreign.sum_logits, ROWS[0], 6)


def test_transformers_with_a_static_cache(tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path)
    for graph in ("prefill", "decode"):
        _with_window(folder / f"{graph}.onnx", "input.past_key_values.layers.0.cumulative_length")
    with pytest.raises(UnsupportedFormatError, match=r"cache input input.past_key_values.layers.0.cumulative_length"):
        load_model(folder, device="cpu")


def test_search_defaults_of_genai(tmp_path: Path) -> None:
    folder = foreign.write_genai(tmp_path, max_length=7, top_k=5, repetition_penalty=1.5)
    config = load_model(folder, device="cpu").generation_config
    assert (config.max_length, config.top_k, config.repetition_penalty, config.eos_token_id) == (7, 5, 1.5, END_ID)
    assert load_model(foreign.write_genai(tmp_path), device="cpu").generation_config.max_length is None


def test_names_of_genai_are_authoritative(tmp_path: Path) -> None:
    folder = foreign.write_genai(tmp_path, foreign.attention_decoder("kept_0", "given_0"))
    with pytest.raises(UnsupportedFormatError, match=r"has the input kept_0.key"):
        load_model(folder, device="cpu")
    text = (folder / "genai_config.json").read_text()
    (folder / "genai_config.json").write_text(
        text.replace("past_key_values.%d", "kept_%d").replace("present.%d", "given_%d")
    )
    model = load_model(folder, device="cpu")
    assert isinstance(model.decoder, Decoder)
    close(model(np.array(ROWS[:1])).logits[0], attention_logits(ROWS[0]))


def test_positions_end(loaded: tuple[Any, Any]) -> None:
    model, _ = loaded
    if model.max_length is None:
        assert not (model.artifact.config.get("max_position_embeddings"))
        return
    assert model.max_length == MAX_POSITIONS
    with pytest.raises(InputTooLongError, match=f"takes {MAX_POSITIONS}"):
        model(np.full((1, MAX_POSITIONS + 1), 5))


def test_input_that_is_not_understood(tmp_path: Path) -> None:
    graph = foreign.sum_decoder()
    graph.take("alibi_bias", "float32", "batch_size", "sequence_length")
    graph.save(tmp_path / "model.onnx")
    foreign.write_config(tmp_path)
    with pytest.raises(UnsupportedFormatError, match=r"model.onnx has the input alibi_bias float32\['batch_size', "):
        AutoModelForCausalLM.from_pretrained(tmp_path, device="cpu")


def test_output_that_is_missing(tmp_path: Path) -> None:
    foreign.sum_decoder(present="present.7.key").save(tmp_path / "model.onnx")
    with pytest.raises(UnsupportedFormatError, match=r"cache input past_key_values.0.key .* an output present.0.key"):
        AutoModelForCausalLM.from_pretrained(foreign.write_config(tmp_path), device="cpu")


def test_folder_without_a_decoder(tmp_path: Path) -> None:
    foreign.encoder_graph().save(tmp_path / "encoder_model.onnx")
    foreign.write_config(tmp_path)
    with pytest.raises(ArtifactNotFoundError, match="has no decoder in fp32; it has encoder_model"):
        AutoModelForCausalLM.from_pretrained(tmp_path, device="cpu")
    with pytest.raises(ArtifactNotFoundError, match="no decoder in q4; it has no such precision, but fp32"):
        AutoModelForCausalLM.from_pretrained(tmp_path, dtype="q4", device="cpu")
