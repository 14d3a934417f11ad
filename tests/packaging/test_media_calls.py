"""Pipelines over images, called where the extra is and where it is not: never a glimpse of torch, and a clear word."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sample_images import PIL_IMAGES
from tiny_images import build_image_head

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


def result(python: str | Path, arguments: list[str], folder: Path) -> dict:
    run = subprocess.run([python, "-c", PROGRAM, *arguments], cwd=folder, capture_output=True, text=True)
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
