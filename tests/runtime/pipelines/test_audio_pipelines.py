"""Speech recognition and audio classification beside transformers' pipelines, from the raw waveform."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers
from speech_samples import RATE, tone

from headway.runtime import AutoModelForCTC, AutoModelForSpeechSeq2Seq, AutoProcessor, load_model, pipeline
from headway.runtime.cli import main
from headway.runtime.errors import InputError, InputTypeError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' pipelines warn of what they are asked to do
WAVE = tone(RATE * 3)
GREEDY = {"num_beams": 1}
ASR = "automatic-speech-recognition"


def reference(speech: Any, task: str = ASR) -> Any:
    return transformers.pipeline(
        task, model=speech.model, feature_extractor=speech.feature_extractor, tokenizer=speech.tokenizer, device="cpu"
    )


@pytest.fixture(scope="module", params=["ctc", "whisper", "speech-encoder-decoder"])
def pair(request, speech_models):
    """Kind, transformers' pipeline, and Headway's."""
    speech = speech_models(request.param)
    return request.param, reference(speech), pipeline(model=speech.artifact, num_threads=1)


CALLS: dict[str, list[dict[str, Any]]] = {
    "ctc": [
        {},
        {"return_timestamps": "char"},
        {"return_timestamps": "word"},
        {"chunk_length_s": 1.0},
        {"chunk_length_s": 0.9, "stride_length_s": (0.2, 0.1), "return_timestamps": "char"},
    ],
    "whisper": [
        {"language": "fr"},
        {"return_timestamps": True, "generate_kwargs": GREEDY},
        {"chunk_length_s": 1.0, "generate_kwargs": {**GREEDY, "language": "en"}},
        {"chunk_length_s": 1.5, "stride_length_s": (0.5, 0.3), "return_timestamps": True, "generate_kwargs": GREEDY},
        {"chunk_length_s": 1.0, "return_language": True, "generate_kwargs": {**GREEDY, "language": "de"}},
    ],
    "speech-encoder-decoder": [
        {"max_new_tokens": 12},
        {"generate_kwargs": {**GREEDY, "max_new_tokens": 12}},
    ],
}


def test_waveforms_to_text(pair):
    kind, expected, recognize = pair
    # Whisper without timestamps takes one window; over one needs them.
    short = WAVE[: RATE * 2] if kind == "whisper" else WAVE
    for options in CALLS[kind]:
        whole = "chunk_length_s" in options or options.get("return_timestamps")
        wave = WAVE if whole else short
        assert recognize(wave, **options) == expected(wave.copy(), **options), options


def test_chunks_of_an_encoder_decoder_do_not_repeat_what_they_share(speech_models):
    """transformers 5.23 loses the strides on the way, and writes the overlaps twice."""
    speech = speech_models("speech-encoder-decoder")
    options = {"chunk_length_s": 1.0, "max_new_tokens": 9, "num_beams": 1}
    found = pipeline(model=speech.artifact, num_threads=1)(WAVE, **options)["text"]
    twice = reference(speech)(WAVE.copy(), **options)["text"]
    assert twice.startswith(found.split()[0])
    assert len(found) < len(twice)


def test_audio_from_anywhere_gives_the_same(pair, tmp_path):
    _, _, recognize = pair
    options = {} if pair[0] == "ctc" else {"max_new_tokens": 8}
    wave = WAVE[:RATE]
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    expected = recognize(wave, **options)
    path, content = tmp_path / "a.wav", (tmp_path / "a.wav").read_bytes()
    raw = {"raw": wave, "sampling_rate": RATE}
    assert recognize([path, str(path), content, raw, np.stack([wave, wave])], **options) == [expected] * 5
    assert list(recognize.stream([path, wave], **options)) == [expected] * 2
    assert list(recognize(iter([wave]), **options)) == [expected]


@pytest.mark.parametrize("name", ["hubert", "ast"])
def test_waveforms_to_labels(name, speech_models):
    speech = speech_models(name)
    expected = reference(speech, "audio-classification")
    classify = pipeline("audio-classification", model=speech.artifact, num_threads=1)
    for wave in (WAVE, tone(20000, 1)):
        for options in ({}, {"top_k": 2}, {"top_k": None}, {"function_to_apply": "none"}):
            wanted, found = expected(wave.copy(), **options), classify(wave, **options)
            assert [entry["label"] for entry in found] == [entry["label"] for entry in wanted]
            np.testing.assert_allclose([e["score"] for e in found], [e["score"] for e in wanted], rtol=0, atol=1e-4)
    alone = classify(WAVE)
    for together in classify([WAVE, WAVE], batch_size=2):
        assert [entry["label"] for entry in together] == [entry["label"] for entry in alone]
        np.testing.assert_allclose([e["score"] for e in together], [e["score"] for e in alone], atol=1e-6)


@pytest.mark.parametrize("name", ["ctc", "hubert", "ast"])
def test_logits_from_the_raw_waveform(name, speech_models):
    """Preprocessing and graph together, equal to PyTorch with transformers' preprocessing."""
    speech = speech_models(name)
    loaded = load_model(speech.artifact, num_threads=1)
    from headway.runtime import AutoFeatureExtractor

    extract = AutoFeatureExtractor.from_pretrained(speech.artifact)
    arrays = extract(WAVE, sampling_rate=RATE, return_tensors="np")
    tensors = speech.feature_extractor(WAVE, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = speech.model(**tensors).logits.numpy()
    np.testing.assert_allclose(loaded(**arrays).logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_classes_are_told_apart(speech_models):
    assert isinstance(load_model(speech_models("ctc").artifact), AutoModelForCTC)
    assert isinstance(load_model(speech_models("whisper").artifact), AutoModelForSpeechSeq2Seq)


def test_a_processor_has_both_parts(speech_models):
    speech = speech_models("whisper")
    processor = AutoProcessor.from_pretrained(speech.artifact)
    own = transformers.WhisperProcessor(
        speech.feature_extractor, transformers.AutoTokenizer.from_pretrained(speech.checkpoint)
    )
    ids = processor.get_prompt_ids("ad be")
    assert ids.tolist() == own.get_prompt_ids("ad be").tolist()
    assert processor.decode(ids) == own.decode(ids)
    assert processor(text="ad be")["input_ids"] == own(text="ad be")["input_ids"]
    features = processor(WAVE, text="ad", sampling_rate=RATE, return_tensors="np")
    assert set(features) == {"input_features", "labels"}
    with pytest.raises(InputError, match="neither audio nor text"):
        processor()
    with pytest.raises(InputError, match="special token"):
        processor.get_prompt_ids("a <|fr|> b")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ctc", {"return_timestamps": True}, "'char' or 'word'"),
        ("ctc", {"return_language": True}, "Whisper's"),
        ("ctc", {"num_beams": 2}, "does not generate"),
        ("ctc", {"melody": 1}, "melody"),
        ("ctc", {"chunk_length_s": -1}, "chunk_length_s"),
        ("ctc", {"chunk_length_s": 1.0, "stride_length_s": 0.6}, "stride_length_s"),
        ("whisper", {"return_timestamps": "char"}, "'word'"),
        ("whisper", {"return_timestamps": "sometimes"}, "sometimes"),
        ("whisper", {"language": "xx"}, "xx"),
        ("speech-encoder-decoder", {"return_timestamps": True}, "only Whisper"),
        ("speech-encoder-decoder", {"language": "en"}, "language"),
    ],
)
def test_options_that_cannot_be_used(name, options, message, speech_models):
    recognize = pipeline(ASR, model=speech_models(name).artifact, num_threads=1)
    with pytest.raises(OptionError, match=message):
        recognize(WAVE, **options)


@pytest.mark.parametrize(
    ("audio", "error", "message"),
    [
        ("nowhere.wav", InputError, "there is no file"),
        (np.zeros(0, np.float32), InputError, "empty"),
        (np.array([np.nan] * 100, np.float32), InputError, "nan"),
        ({"raw": WAVE}, InputError, "sampling_rate"),
        (3, InputTypeError, "int"),
        ([WAVE, None], InputTypeError, "Input 1"),
    ],
)
def test_audio_that_cannot_be_used(audio, error, message, speech_models):
    recognize = pipeline(ASR, model=speech_models("ctc").artifact, num_threads=1)
    with pytest.raises(error, match=message):
        recognize(audio)


def test_a_pipeline_saves_what_it_needs(speech_models, tmp_path):
    recognize = pipeline(ASR, model=speech_models("ctc").artifact, num_threads=1)
    recognize.save_pretrained(tmp_path)
    assert pipeline(ASR, model=tmp_path, num_threads=1)(WAVE) == recognize(WAVE)


def test_the_command_takes_a_path(speech_models, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", WAVE, RATE, subtype="FLOAT")
    artifact = str(speech_models("ctc").artifact)
    assert main(["run", artifact, str(tmp_path / "a.wav"), "--timestamps", "word", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    recognize = pipeline(model=artifact, num_threads=1)
    assert result["text"] == recognize(WAVE)["text"]
    assert len(result["chunks"]) == len(recognize(WAVE, return_timestamps="word")["chunks"])
    assert main(["run", artifact, str(tmp_path / "a.wav"), "--timestamps", "word"]) == 0
    assert result["text"] in [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert main(["run", artifact, "nowhere.wav"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    lines = tmp_path / "audio.jsonl"
    lines.write_text(json.dumps({"audio": str(tmp_path / "a.wav")}) + "\n")
    assert main(["run", artifact, "--input", str(lines)]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == result["text"]
