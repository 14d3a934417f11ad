"""Encoder-decoders in the layouts of other exporters: the same tokens as the formula gives."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import foreign_folders as foreign
import numpy as np
import onnx
import pytest
from foreign_folders import START_ID, cross_decoder, greedy, source_worth, sum_logits

from headway.runtime import AutoModelForSeq2SeqLM, load_model
from headway.runtime.errors import ArtifactNotFoundError, OptionError, UnsupportedFormatError
from headway.runtime.generation.seq2seq_states import HiddenStateGraphs

SOURCES = [[4, 9, 5, 17, 3], [8, 6]]
PADDED = np.array([[4, 9, 5, 17, 3], [8, 6, 0, 0, 0]])
MASK = (PADDED != 0).astype(np.int64)


def _config(folder: Path) -> Path:
    names = ["T5ForConditionalGeneration"]
    return foreign.write_config(
        folder, architectures=names, is_encoder_decoder=True, decoder_start_token_id=START_ID, num_layers=1
    )


def _three_files(folder: Path) -> Path:
    foreign.encoder_graph().save(folder / "encoder_model.onnx")
    cross_decoder(takes_past=False, takes_hidden=True).save(folder / "decoder_model.onnx")
    cross_decoder(takes_past=True, takes_hidden=False).save(folder / "decoder_with_past_model.onnx")
    return _config(folder)


def _merged(folder: Path) -> Path:
    foreign.encoder_graph().save(folder / "onnx" / "encoder_model_fp16.onnx")
    merged = cross_decoder(takes_past=True, takes_hidden=True, is_merged=True)
    merged.save(folder / "onnx" / "decoder_model_merged_fp16.onnx")
    # Beside it lies what it replaces, which nobody opens.
    (folder / "onnx" / "decoder_model_fp16.onnx").write_bytes(b"broken")
    return _config(folder)


def _without_cache(folder: Path) -> Path:
    foreign.encoder_graph().save(folder / "encoder.onnx")
    cross_decoder(takes_past=False, takes_hidden=True, keeps=False).save(folder / "decoder.onnx")
    return _config(folder)


def _transformers(folder: Path) -> Path:
    return _config(foreign.write_transformers_seq2seq(folder))


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "three-files": _three_files,
    "merged": _merged,
    "without-cache": _without_cache,
    "transformers": _transformers,
}


@pytest.fixture(scope="module", params=LAYOUTS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model in each layout."""
    folder = LAYOUTS[request.param](tmp_path_factory.mktemp(request.param))
    model = load_model(folder, device="cpu", num_threads=1)
    assert isinstance(model.graphs, HiddenStateGraphs)
    return model


def _logits(source: list[int]) -> Any:
    return partial(sum_logits, source=source_worth(source), numbered=False)


def test_logits(loaded: Any) -> None:
    answers = [[START_ID, 7, 11], [START_ID, 12, 10]]
    output = loaded(PADDED, attention_mask=MASK, decoder_input_ids=np.array(answers))
    wanted = np.stack([_logits(source)(ids) for source, ids in zip(SOURCES, answers, strict=True)])
    np.testing.assert_allclose(output.logits, wanted, atol=1e-4)
    more = loaded(decoder_input_ids=np.array([[3, 5], [6, 8]]), past_key_values=output.past_key_values)
    ids = [[*answers[0], 3, 5], [*answers[1], 6, 8]]
    wanted = np.stack([_logits(source)(row)[-2:] for source, row in zip(SOURCES, ids, strict=True)])
    np.testing.assert_allclose(more.logits, wanted, atol=1e-4)


def test_greedy_and_beams(loaded: Any) -> None:
    output = loaded.generate(PADDED, attention_mask=MASK, max_new_tokens=7, do_sample=False, eos_token_id=None)
    assert output[:, 1:].tolist() == [greedy(_logits(source), [START_ID], 7) for source in SOURCES]
    options = {"max_new_tokens": 5, "num_beams": 3, "num_return_sequences": 3, "eos_token_id": None}
    both = loaded.generate(PADDED, attention_mask=MASK, **options)
    for row, source in enumerate(SOURCES):
        alone = loaded.generate(np.array([source]), **options)
        assert np.array_equal(both[3 * row : 3 * row + 3], alone)


def test_no_config_at_all(tmp_path: Path) -> None:
    folder = _without_cache(tmp_path)
    (folder / "config.json").unlink()
    tokens = [{"id": START_ID, "content": "<pad>"}, {"id": 1, "content": "</s>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    model = load_model(folder, device="cpu")
    assert model.task == "text2text-generation"
    output = model.generate(np.array(SOURCES[:1]), max_new_tokens=4)
    assert output[0, 1:].tolist() == greedy(_logits(SOURCES[0]), [START_ID], 4)


def test_what_does_not_fit(tmp_path: Path) -> None:
    folder = _three_files(tmp_path)
    with pytest.raises(OptionError, match="names one file; an encoder-decoder has two"):
        load_model(folder, file_name="decoder_model.onnx")
    graph = cross_decoder(takes_past=False, takes_hidden=True)
    graph.take("encoder_bias", "float32", "batch_size", 1)
    graph.save(folder / "decoder_model.onnx")
    with pytest.raises(UnsupportedFormatError, match="has the input encoder_bias"):
        load_model(folder)
    cross_decoder(takes_past=False, takes_hidden=True, keeps=False).save(folder / "decoder_model.onnx")
    with pytest.raises(UnsupportedFormatError, match=r"present.0.decoder.key, present.0.encoder.key missing"):
        load_model(folder)
    (folder / "encoder_model.onnx").unlink()
    with pytest.raises(ArtifactNotFoundError, match="needs encoder_model and decoder_model"):
        load_model(folder)


def test_export_of_transformers_has_no_encoder(tmp_path: Path) -> None:
    graph = foreign.Graph()
    hidden = graph.take("encoder_outputs.last_hidden_state", "float32", "batch_size", "sequence_length", foreign.DIM)
    graph.give("logits", hidden, "batch_size", "sequence_length", foreign.DIM)
    graph.save(tmp_path / "prefill.onnx")
    components = {"prefill": {"file": "prefill.onnx", "metadata": {}}}
    (tmp_path / "export.json").write_text(json.dumps({"export_format": "onnx", "components": components}))
    with pytest.raises(
        ArtifactNotFoundError, match=r"prefill takes encoder_outputs.last_hidden_state. Export model.get_"
    ):
        AutoModelForSeq2SeqLM.from_pretrained(_config(tmp_path), device="cpu")


def test_export_of_transformers_that_takes_one_step(tmp_path: Path) -> None:
    """Traced on a text's first token, a step takes a past of just one: it cannot go on."""
    folder = _transformers(tmp_path)
    model = onnx.load(folder / "decode.onnx")
    past = next(value for value in model.graph.input if "self_attention_cache" in value.name)
    past.type.tensor_type.shape.dim[2].dim_value = 1
    onnx.save(model, folder / "decode.onnx")
    with pytest.raises(UnsupportedFormatError, match="a past of just 1 tokens"):
        load_model(folder, device="cpu")
