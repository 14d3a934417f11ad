"""Two graphs of one model read one file of weights, where both hold the same numbers."""

from pathlib import Path
from typing import Any

import foreign_folders as foreign
import numpy as np
import pytest
from foreign_folders import greedy, sum_logits
from onnx import TensorProto

from headway.runtime import AutoModelForCausalLM, AutoModelForSeq2SeqLM, session_cache
from headway.runtime.errors import CorruptArtifactError
from headway.runtime.onnx_file import external_tensors
from headway.runtime.shared_weights import open_sharing

PROMPT = [4, 9, 5]
SIZED = {"words": foreign.WORDS, "places": foreign.PLACES, "head": foreign.HEAD}


def _answer(folder: Path) -> list[int]:
    model = AutoModelForCausalLM.from_pretrained(folder, device="cpu", num_threads=1)
    output = model.generate(np.array([PROMPT]), max_new_tokens=5, do_sample=False, eos_token_id=None)
    return [int(token) for token in output[0, len(PROMPT) :]]


def test_what_lies_beside_a_graph(tmp_path: Path) -> None:
    foreign.write_transformers_export(tmp_path)
    found = {tensor.name: tensor for tensor in external_tensors(tmp_path / "decode.onnx")}
    assert {name: tensor.shape for name, tensor in found.items()} == {name: it.shape for name, it in SIZED.items()}
    data = (tmp_path / "decode.onnx.data").read_bytes()
    for name, tensor in found.items():
        assert (tensor.data_type, tensor.location) == (TensorProto.FLOAT, "decode.onnx.data")
        assert data[tensor.offset : tensor.offset + tensor.length] == SIZED[name].tobytes()


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
    tensor = next(tensor for tensor in external_tensors(folder / "decode.onnx") if tensor.name == "head")
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
        foreign.onnx.save(
            foreign.onnx.load(folder / f"{name}.onnx"),
            folder / f"{name}.onnx",
            save_as_external_data=True,
            location=f"{name}.onnx.data",
            size_threshold=64,
        )
    foreign.write_config(folder, is_encoder_decoder=True, decoder_start_token_id=foreign.START_ID)
    graphs = AutoModelForSeq2SeqLM.from_pretrained(folder, device="cpu").graphs
    assert set(graphs.decoder.options.weights) == {"words", "head"}


def test_data_that_is_cut_short(tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path)
    data = (folder / "decode.onnx.data").read_bytes()
    (folder / "decode.onnx.data").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptArtifactError, match=r"from byte \d+ of decode.onnx.data, which has \d+ bytes"):
        open_sharing([folder / "prefill.onnx", folder / "decode.onnx"], folder)
