"""Encoder-decoders that listen: what their graphs exchange, and their tokens beside transformers'."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import PreTrainedModel

from headway.benchmarks.tiny_checkpoints import tiny_model
from headway.export import export
from headway.runtime import AutoModelForSpeechSeq2Seq
from headway.runtime.artifact import Artifact
from headway.runtime.errors import InputError, OptionError

TASK = "automatic-speech-recognition"
NUM_NEW_TOKENS = 20


def exported(model: PreTrainedModel, folder) -> AutoModelForSpeechSeq2Seq:
    export(model, folder, task=TASK, progress=False)
    return AutoModelForSpeechSeq2Seq.from_pretrained(folder, num_threads=1)


def ragged_features(shape: tuple[int, ...], lengths: tuple[int, ...], name: str) -> dict[str, np.ndarray]:
    """Random rows that end at ``lengths``, with the mask that says so."""
    values = np.random.default_rng(0).standard_normal((len(lengths), *shape)).astype(np.float32)
    mask = (np.arange(shape[0]) < np.array(lengths)[:, None]).astype(np.int64)
    values[mask == 0] = 0
    return {name: values, "attention_mask": mask}


def assert_same_tokens(model: PreTrainedModel, loaded: Any, inputs: dict[str, np.ndarray], **options: Any) -> None:
    for num_beams in (1, 3):
        arguments = {"max_new_tokens": NUM_NEW_TOKENS, "do_sample": False, "num_beams": num_beams, **options}
        with torch.no_grad():
            expected = model.generate(**{name: torch.tensor(value) for name, value in inputs.items()}, **arguments)
        assert loaded.generate(**inputs, **arguments).tolist() == expected.tolist(), num_beams


@pytest.mark.parametrize(
    ("model_type", "name", "shape", "lengths"),
    [
        ("speech_to_text", "input_features", (200, 80), (200, 90, 140)),
        ("moonshine", "input_values", (9600,), (9600, 5000, 7001)),
    ],
)
def test_padded_audio_gives_transformers_tokens(model_type, name, shape, lengths, tmp_path):
    model = tiny_model(model_type, "AutoModelForSpeechSeq2Seq")
    loaded = exported(model, tmp_path / "out")
    encoder = loaded.graphs.encoder
    assert "encoder_attention_mask" in encoder.output_names
    assert list(encoder.input_names) == [name, "attention_mask"]
    inputs = ragged_features(shape, lengths, name)
    assert_same_tokens(model, loaded, inputs)
    alone = {key: values[1:2, : lengths[1]] for key, values in inputs.items()}
    assert_same_tokens(model, loaded, alone)
    with pytest.raises(OptionError, match="language is Whisper's"):
        loaded.generate(**inputs, language="en")


def test_whispers_graphs(speech_models):
    folder = speech_models("whisper").artifact
    manifest = Artifact(folder).manifest
    assert (manifest.task, manifest.max_decoder_length) == (TASK, 48)
    files = {side: folder / "onnx" / f"{side}_model.onnx" for side in ("encoder", "decoder")}
    graphs = {side: onnx.load(file, load_external_data=False).graph for side, file in files.items()}
    inputs = {side: [value.name for value in graph.input] for side, graph in graphs.items()}
    assert inputs["encoder"] == ["input_features"]
    assert not [name for name in inputs["decoder"] if "mask" in name]
    sizes = [axis.dim_param or axis.dim_value for axis in graphs["encoder"].input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch_size", 16, 200]
    outputs = [value.name for value in graphs["decoder"].output]
    assert outputs[-2:] == ["cross_attentions.0", "cross_attentions.1"]


def test_whisper_steps_by_hand(speech_models):
    """The manual loop: encoder once, then tokens on a cache, as with text."""
    speech = speech_models("whisper")
    loaded = AutoModelForSpeechSeq2Seq.from_pretrained(speech.artifact, num_threads=1)
    features = np.random.default_rng(1).standard_normal((2, 16, 200)).astype(np.float32)
    ids = np.array([[5, 6, 7], [8, 9, 10]])
    with torch.no_grad():
        output = speech.model(input_features=torch.tensor(features), decoder_input_ids=torch.tensor(ids))
    expected = output.logits.numpy()
    whole = loaded(input_features=features, decoder_input_ids=ids)
    np.testing.assert_allclose(whole.logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    encoded = loaded.get_encoder()(features)
    first = loaded(encoder_outputs=encoded, decoder_input_ids=ids[:, :2])
    second = loaded(past_key_values=first.past_key_values, decoder_input_ids=ids[:, 2:])
    np.testing.assert_allclose(second.logits[:, 0], expected[:, 2], rtol=0, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(InputError):
        loaded(input_features=features[:, :, :100], decoder_input_ids=ids)
