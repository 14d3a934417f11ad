"""Images and audio over HTTP: their bytes come along, and nothing is read from the server's disk or network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from huggingface_hub import InferenceClient
from PIL import Image
from serving import RunningServer, running
from speech_samples import RATE, tone
from tiny_images import build_image_head
from tiny_speech import build_speech_model

from headway.runtime import pipeline
from headway.runtime.server.api.media import media_of
from headway.runtime.server.refusals import RefusedError
from headway.runtime.server.settings import ServerSettings

PATH = "/v1/pipelines/image-classification"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_image_head("vit", tmp_path_factory.mktemp("vit")).artifact


@pytest.fixture(scope="module")
def images(folder: Path) -> Iterator[RunningServer]:
    """A model without a tokenizer."""
    with running({"vit": folder}) as server:
        yield server


@pytest.fixture(scope="module", params=[0, 1], ids=["in the server", "in processes"])
def speech(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, dict[str, Path]]]:
    """Models that listen, beside one that sees; their artifacts by task."""
    made = tmp_path_factory.mktemp("speech")
    folders = {
        "audio-classification": build_speech_model("ast", made / "classifier").artifact,
        "automatic-speech-recognition": build_speech_model("ctc", made / "ctc").artifact,
        "image-classification": folder,
    }
    settings = ServerSettings(load={"num_threads": 1}, reload_interval_s=0, num_workers=request.param)
    with running(folders, settings) as server:
        yield server, folders


@pytest.fixture(scope="module")
def photo() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_an_image_as_base64_or_data_url(images: RunningServer, folder: Path, photo: bytes) -> None:
    alone = pipeline("image-classification", model=folder, num_threads=1)(photo)
    text = base64.b64encode(photo).decode()
    for inputs in (text, f"data:image/png;base64,{text}"):
        found = images.post(PATH, {"inputs": inputs})
        assert found.status_code == 200
        assert [entry["label"] for entry in found.json()] == [entry["label"] for entry in alone]
        assert [entry["score"] for entry in found.json()] == pytest.approx([entry["score"] for entry in alone])
    assert len(images.post(PATH, {"inputs": [text, text]}).json()) == 2


def test_audio_and_images_wherever_the_model_runs(
    speech: tuple[RunningServer, dict[str, Path]], photo: bytes, tmp_path: Path
) -> None:
    server, folders = speech
    soundfile.write(tmp_path / "tone.wav", tone(8000), RATE)
    wave = (tmp_path / "tone.wav").read_bytes()
    samples = {"raw": tone(8000).tolist(), "sampling_rate": RATE}
    asked = {"audio-classification": wave, "automatic-speech-recognition": wave, "image-classification": photo}
    for task, data in asked.items():
        expected = pipeline(task, model=folders[task], num_threads=1)(data)
        found = server.post(f"/v1/pipelines/{task}", {"inputs": base64.b64encode(data).decode()})
        assert found.status_code == 200, found.text
        assert_alike(found.json(), expected)
    for task in ("audio-classification", "automatic-speech-recognition"):
        found = server.post(f"/v1/pipelines/{task}", {"inputs": samples})
        assert_alike(found.json(), pipeline(task, model=folders[task], num_threads=1)({**samples, "raw": tone(8000)}))
        broken = server.post(f"/v1/pipelines/{task}", {"inputs": base64.b64encode(b"no sound").decode()})
        assert broken.status_code == 400


@pytest.mark.usefixtures("online")
def test_the_hub_s_client_sends_files_as_they_are(
    speech: tuple[RunningServer, dict[str, Path]], photo: bytes, tmp_path: Path
) -> None:
    """A file is the whole body, with its type or without one; with parameters it is base64 in JSON."""
    server, folders = speech
    soundfile.write(tmp_path / "tone.wav", tone(8000), RATE)
    (tmp_path / "photo.png").write_bytes(photo)

    def client(task: str) -> InferenceClient:
        return InferenceClient(model=f"{server.url}/v1/pipelines/{task}", token="none")

    def expected(task: str, data: bytes, **options: Any) -> Any:
        return pipeline(task, model=folders[task], num_threads=1)(data, **options)

    labels = expected("image-classification", photo)
    for image in (photo, tmp_path / "photo.png"):
        found = client("image-classification").image_classification(image)
        assert_alike([vars(entry) for entry in found], labels)
    best = client("image-classification").image_classification(photo, top_k=1)
    assert [entry.label for entry in best] == [labels[0]["label"]]
    wave = (tmp_path / "tone.wav").read_bytes()
    heard = client("audio-classification").audio_classification(tmp_path / "tone.wav")
    assert_alike([vars(entry) for entry in heard], expected("audio-classification", wave))
    assert (
        client("automatic-speech-recognition").automatic_speech_recognition(wave).text
        == (expected("automatic-speech-recognition", wave)["text"])
    )


def test_bodies_that_are_no_file(images: RunningServer, photo: bytes) -> None:
    for content, kind, status in (
        (b"", "image/png", 400),
        (b"no image", "image/png", 400),
        (b"no image", "", 400),
        (b"{", "", 400),
        (photo, "text/plain", 415),
        (photo, "application/json", 400),
        (b'{"inputs": 3}', "application/octet-stream", 400),
    ):
        refused = images.client.post(PATH, content=content, headers={"content-type": kind} if kind else {})
        assert refused.status_code == status, (content[:10], kind, refused.text)
        assert refused.json()["error"]["message"]
    ner = images.client.post("/v1/pipelines/ner", content=photo, headers={"content-type": "image/png"})
    assert ner.status_code == 415


def assert_alike(found: Any, expected: Any) -> None:
    """The same text, or the same labels with nearly the same scores."""
    if isinstance(expected, dict):
        assert found == expected
        return
    assert [entry["label"] for entry in found] == [entry["label"] for entry in expected]
    scores = [entry["score"] for entry in found]
    np.testing.assert_allclose(scores, [entry["score"] for entry in expected], rtol=1e-5)


def test_files_and_addresses_are_not_read(images: RunningServer, photo: bytes, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(photo)
    for inputs in (str(file), {"image": str(file)}, [str(file)], "http://127.0.0.1:1/photo.png", {"path": str(file)}):
        refused = images.post(PATH, {"inputs": inputs})
        assert refused.status_code == 400
        assert "base64" in refused.json()["error"]["message"]
    text = base64.b64encode(photo).decode()
    refused = images.post(PATH, {"inputs": text, "parameters": {"allow_urls": True}})
    assert refused.json()["error"]["param"] == "parameters.allow_urls"
    body = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [str(file)]}]}
    assert images.post("/v2/models/vit/infer", body).status_code == 400


def test_what_needs_a_tokenizer_says_so(images: RunningServer) -> None:
    for path, body in (("/tokenize", {"inputs": "a"}), ("/decode", {"ids": [1]})):
        refused = images.post(path, body)
        assert refused.status_code == 400
        assert "no tokenizer" in refused.json()["error"]


@pytest.mark.parametrize("value", ["", "###", 3, None, {"bytes": 3}, {"path": "YQ=="}, {"raw": ["a"]}, [3]], ids=repr)
def test_what_is_no_file(value: Any) -> None:
    with pytest.raises(RefusedError):
        media_of(value)


def test_samples_come_as_numbers() -> None:
    found = media_of({"raw": [0.5, 1], "sampling_rate": 8000})
    assert found["raw"].dtype == np.float32
    assert found["sampling_rate"] == 8000
    assert media_of({"bytes": "YQ=="}) == {"bytes": b"a"}
