"""Pipelines over images and audio, called where the extra is and where it is not: no torch, and a clear word."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from sample_images import PIL_IMAGES
from speech_samples import RATE, tone
from tiny_images import build_image_head
from tiny_speech import build_speech_model

PROGRAM = """
import json, sys
import numpy as np
from headway.runtime import AutoImageProcessor, AutoModelForImageClassification, pipeline

folder, image = sys.argv[1:]
model = AutoModelForImageClassification.from_pretrained(folder, num_threads=1)
processor = AutoImageProcessor.from_pretrained(folder)
ready = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
logits = model(**processor(ready, do_resize=False, return_tensors="np")).logits
try:
    labels = pipeline(model=folder, num_threads=1)(image)
except ImportError as error:
    labels = str(error)
print(json.dumps({"logits": logits.tolist(), "labels": labels, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An artifact and an image."""
    folder = tmp_path_factory.mktemp("vit")
    PIL_IMAGES["photo"]().save(folder / "photo.png")
    return [str(build_image_head("vit", folder).artifact), str(folder / "photo.png")]


def result(python: str | Path, arguments: list[str], folder: Path, program: str = PROGRAM) -> dict:
    run = subprocess.run([python, "-c", program, *arguments], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_images_without_pytorch(arguments, tmp_path):
    here = result(sys.executable, arguments, tmp_path)
    assert len(here["labels"]) == 5
    assert "PIL.Image" in here["modules"]
    assert {"torch", "transformers", "optimum", "onnx"}.isdisjoint(here["modules"])


def test_images_without_the_extra(arguments, clean_python, tmp_path):
    clean = result(clean_python, arguments, tmp_path)
    assert "pip install 'headway[vision]'" in clean["labels"]
    # Arrays that need no resizing need no Pillow.
    here = result(sys.executable, arguments, tmp_path)
    assert clean["logits"][0] == pytest.approx(here["logits"][0], abs=1e-5)


AUDIO_PROGRAM = """
import json, sys
import numpy as np
from headway.runtime import AutoFeatureExtractor, AutoModelForAudioClassification, load_model, pipeline

folders, file = json.loads(sys.argv[1]), sys.argv[2]
wave = np.sin(np.arange(16000, dtype=np.float32) / 20)
results = {}
for name, folder in folders.items():
    called = pipeline(model=folder, num_threads=1)
    writes = name in ("whisper", "speech-encoder-decoder")
    options = {"generate_kwargs": {"max_new_tokens": 6, "num_beams": 1}} if writes else {}
    results[name] = [called(wave, **options), called({"raw": wave, "sampling_rate": 16000}, **options)]
    try:
        results[name].append(called(file, **options))
    except ImportError as error:
        results[name].append(str(error))
features = AutoFeatureExtractor.from_pretrained(folders["ast"])(wave, sampling_rate=16000, return_tensors="np")
logits = AutoModelForAudioClassification.from_pretrained(folders["ast"], num_threads=1)(**features).logits
found = {"results": results, "logits": logits.tolist(), "modules": sorted(sys.modules)}
print(json.dumps(found, default=np.ndarray.tolist))
"""


@pytest.fixture(scope="module")
def audio_arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Artifacts of every kind of model that listens, and a file."""
    root = tmp_path_factory.mktemp("speech")
    names = ("ast", "ctc", "whisper", "speech-encoder-decoder")
    folders = {name: str(build_speech_model(name, root / name).artifact) for name in names}
    soundfile.write(root / "tone.wav", tone(RATE), RATE)
    return [json.dumps(folders), str(root / "tone.wav")]


def test_audio_without_pytorch(audio_arguments, clean_python, tmp_path):
    """Arrays need nothing beyond the runtime; files say which extra reads them."""
    here = result(sys.executable, audio_arguments, tmp_path, AUDIO_PROGRAM)
    assert "soundfile" in here["modules"]
    assert {"torch", "transformers", "optimum", "onnx"}.isdisjoint(here["modules"])
    clean = result(clean_python, audio_arguments, tmp_path, AUDIO_PROGRAM)
    assert clean["logits"][0] == pytest.approx(here["logits"][0], abs=1e-5)
    for name, (from_array, from_mapping, from_file) in clean["results"].items():
        assert texts_or_labels(from_array) == texts_or_labels(here["results"][name][0])
        assert texts_or_labels(from_mapping) == texts_or_labels(from_array)
        assert "pip install 'headway[audio]'" in from_file
        assert not isinstance(here["results"][name][2], str)


def texts_or_labels(found):
    """What was said, or the labels best first."""
    return found["text"] if isinstance(found, dict) else [entry["label"] for entry in found]
