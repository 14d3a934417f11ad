"""Speech language models beside transformers: audio and text together, text alone, and what is refused."""

import copy

import numpy as np
import pytest
import torch

from headway.benchmarks.tiny_checkpoints import tiny_model
from headway.export import export
from headway.export.hearing import TOKENS, audio_features
from headway.export.hearing_inputs import HearingInputs, padded
from headway.export.patches import model_patches
from headway.export.verify import FP32_TOLERANCE, relative_error
from headway.runtime import AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, load_model, pipeline
from headway.runtime.errors import InputError, OptionError, TaskError

# It has a mask of frames, and looks at where audio stands in the prompt.
FAMILIES = ("musicflamingo",)
GREEDY = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


class Pair:
    """PyTorch's model and Headway's, and inputs for both."""

    def __init__(self, family, folder):
        self.model = tiny_model(family, "AutoModelForSeq2SeqLM")
        export(self.model, folder / "artifact", task="text2text-generation", progress=False)
        self.loaded = AutoModelForSeq2SeqLM.from_pretrained(folder / "artifact", num_threads=1)
        self.folder = folder / "artifact"
        self.inputs = HearingInputs(self.model)

    def given(self, lengths, seed=5):
        heard = self.inputs.build(lengths, seed=seed)
        audio = {name: tensor for name, tensor in heard.audio.items() if name != TOKENS}
        return {**padded(heard.prompts), **audio}


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory):
    return Pair(request.param, tmp_path_factory.mktemp(request.param))


def arrays(inputs):
    return {name: tensor.numpy() for name, tensor in inputs.items()}


def test_audio_and_text(pair):
    given = pair.given([1, 3, 2])
    with torch.no_grad():
        expected = pair.model(**given, use_cache=False).logits.numpy()
    actual = pair.loaded(**arrays(given)).logits
    kept = given["attention_mask"].bool().numpy()
    assert relative_error(expected[kept], actual[kept]) < FP32_TOLERANCE


def test_an_answer_to_audio(pair, monkeypatch):
    given = pair.given([3])
    with torch.no_grad():
        expected = pair.model.generate(**given, **GREEDY).numpy()
    np.testing.assert_array_equal(pair.loaded.generate(**arrays(given), **GREEDY), expected)
    # Prompts that run in several calls hear each vector once, where it belongs.
    monkeypatch.setattr("headway.runtime.generation.decoder.PREFILL_CHUNK_TOKENS", 8)
    np.testing.assert_array_equal(pair.loaded.generate(**arrays(given), **GREEDY), expected)


def test_text_alone(pair):
    ids = torch.tensor([[11, 12, 13, 14, 15]])
    with torch.no_grad():
        expected = pair.model.generate(ids, attention_mask=torch.ones_like(ids), **GREEDY).numpy()
    np.testing.assert_array_equal(pair.loaded.generate(ids.numpy(), **GREEDY), expected)


def test_audio_changes_the_answer(pair):
    """Or else none of the tests above could tell whether it is heard."""
    one, other = (arrays(pair.given([2], seed=seed)) for seed in (1, 2))
    heard = {**other, "input_ids": one["input_ids"]}
    assert np.abs(pair.loaded(**one).logits - pair.loaded(**heard).logits).max() > 1e-2


def test_what_is_refused(pair):
    given = arrays(pair.given([2]))
    wrong = copy.copy(given)
    wrong["input_ids"] = np.where(given["input_ids"] == pair.inputs.token, 11, given["input_ids"])
    with pytest.raises(InputError, match="0 tokens of audio"):
        pair.loaded(**wrong)
    mask = pair.inputs.mask
    with pytest.raises(InputError, match=f"{mask} is missing"):
        pair.loaded(**{name: value for name, value in given.items() if name != mask})
    with pytest.raises(InputError, match="past_key_values or the audio"):
        pair.loaded.generate(**given, past_key_values=pair.loaded.decoder.new_cache(1, 8))
    with pytest.raises(InputError, match="no prefix cache"):
        pair.loaded.use_prefix_cache(1 << 20)


@pytest.mark.parametrize("family", ["granite_speech", "granite_speech_plus", "musicflamingo"])
def test_what_is_traced_hears_the_same(family):
    """Code put in place while tracing, beside the model's own: full blocks, filled ones, and windows of one piece."""
    model = tiny_model(family, "AutoModelForSeq2SeqLM")
    inputs = HearingInputs(model)
    for lengths in ([1], [3], [2, 4, 1]):
        audio = inputs.build(lengths, seed=3).audio
        with torch.no_grad():
            expected = audio_features(model, audio)
            with model_patches():
                actual = audio_features(model, audio)
        assert relative_error(expected.numpy(), actual.numpy()) < FP32_TOLERANCE


def test_two_windows_of_one_piece_are_told_apart():
    model = tiny_model("musicflamingo", "AutoModelForSeq2SeqLM")
    token, counts = model.config.audio_token_id, torch.tensor([4, 2, 3])
    # The first piece has two windows, the second one.
    ids = torch.tensor([[11, *[token] * 6, 12, *[token] * 3]])
    expected = model.model._build_audio_timestamps(ids, counts, 4)
    with model_patches():
        actual = model.model._build_audio_timestamps(ids, counts, 4)
    torch.testing.assert_close(actual, expected)
    assert expected[1, 0] > 0 == expected[2, 0]


def test_speech_recognition_by_prompt(tmp_path):
    """The same models are registered for speech recognition, where a pipeline cannot write their prompt."""
    model = tiny_model("voxtral", "AutoModelForSpeechSeq2Seq")
    export(model, tmp_path / "artifact", task="speech-seq2seq", progress=False)
    loaded = load_model(tmp_path / "artifact", num_threads=1)
    assert type(loaded) is type(AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path / "artifact", num_threads=1))
    with pytest.raises(TaskError, match="HearingLanguageModel"):
        pipeline(model=tmp_path / "artifact", num_threads=1)


def test_other_precisions_are_refused(tmp_path):
    model = tiny_model("voxtral", "AutoModelForSeq2SeqLM")
    with pytest.raises(OptionError, match="fp32 only"):
        export(model, tmp_path / "out", task="text2text-generation", dtype="q8")
    assert not (tmp_path / "out").exists()
