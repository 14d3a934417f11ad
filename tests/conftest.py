"""Settings and fixtures shared by every test."""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

# Read when the libraries are first imported, so set before any test module imports them.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tests of the cache point it at a folder of their own.
os.environ["HEADWAY_SESSION_CACHE"] = "0"

import hypothesis
import pytest
from filelock import FileLock
from huggingface_hub import close_session

from headway.benchmarks.real_models import fetch
from headway.benchmarks.voice_clips import fetch_voice_clips
from headway.runtime.errors import HeadwayError

# The same examples on every run: what fails in CI fails on the desk too.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")


def real_model(name: str) -> Path:
    """Folder of a real model; without it the test skips, or fails where ``HEADWAY_REQUIRE_MODELS=1`` (CI)."""
    try:
        return fetch(name)
    except HeadwayError as error:
        if os.environ.get("HEADWAY_REQUIRE_MODELS") == "1":
            raise
        pytest.skip(f"the real model {name} cannot be fetched: {error}")


def exported_once(checkpoint: Path, name: str, tmp_path_factory: pytest.TempPathFactory, **options: Any) -> Path:
    """Artifact of `checkpoint`, exported once in a test run even where several processes share the tests."""
    from headway.export import export

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "artifacts" / name
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):
        if not folder.is_dir():
            export(checkpoint, folder, **options)
    return folder


@pytest.fixture(scope="session")
def minilm_checkpoint() -> Path:
    """all-MiniLM-L6-v2 as a sentence-transformers folder (BertModel)."""
    return real_model("minilm")


@pytest.fixture(scope="session")
def minilm_artifact(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all-MiniLM-L6-v2 exported in float32."""
    return exported_once(minilm_checkpoint, "minilm", tmp_path_factory)


@pytest.fixture(scope="session")
def smollm2_checkpoint() -> Path:
    """SmolLM2-135M-Instruct in float32 (LlamaForCausalLM), with its chat template."""
    return real_model("smollm2")


@pytest.fixture(scope="session")
def smollm2_artifact(smollm2_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct exported in float32."""
    return exported_once(smollm2_checkpoint, "smollm2", tmp_path_factory)


@pytest.fixture(scope="session")
def t5_title_checkpoint() -> Path:
    """A flan-t5-small that writes titles (T5ForConditionalGeneration with an untied lm_head)."""
    return real_model("t5-title")


@pytest.fixture(scope="session")
def t5_title_artifact(t5_title_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The title model exported in float32."""
    return exported_once(t5_title_checkpoint, "t5-title", tmp_path_factory)


@pytest.fixture(scope="session")
def whisper_checkpoint() -> Path:
    """whisper-tiny.en in float32 (WhisperForConditionalGeneration), with its feature extractor."""
    return real_model("whisper-tiny-en")


@pytest.fixture(scope="session")
def whisper_artifact(whisper_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """whisper-tiny.en exported in float32."""
    return exported_once(whisper_checkpoint, "whisper-tiny-en", tmp_path_factory)


@pytest.fixture(scope="session")
def voice_clips() -> list[Path]:
    """Eight real voices that say where a loudspeaker stands, 48 kHz."""
    try:
        return sorted(fetch_voice_clips().glob("*.wav"))
    except HeadwayError as error:
        if os.environ.get("HEADWAY_REQUIRE_MODELS") == "1":
            raise
        pytest.skip(f"the voice clips cannot be fetched: {error}")


@pytest.fixture(scope="session")
def speech_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Name of a tiny checkpoint of tiny_speech.SPEECH_MODELS → that checkpoint, exported."""
    from tiny_speech import build_speech_model

    folder = tmp_path_factory.mktemp("speech")
    return lru_cache(lambda name: build_speech_model(name, folder / name))


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hub's client refuses any address while the tests keep the hub itself out of reach."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    close_session()
    yield
    close_session()


@pytest.fixture(scope="session")
def t5_title_onnx() -> Path:
    """Folder of the title model's int8 encoder and decoder that another tool exported, with its tokenizer."""
    return real_model("t5-title-onnx")


@pytest.fixture(scope="session")
def paraphrase_onnx() -> Path:
    """Folder with the model.onnx of paraphrase-MiniLM-L3-v2 that another tool exported; no config, no tokenizer."""
    return real_model("paraphrase-minilm-onnx")


@pytest.fixture(scope="session")
def minilm_int8_onnx() -> Path:
    """Folder with an int8 model.onnx of all-MiniLM-L6-v2 that another tool made; no config, no tokenizer."""
    return real_model("minilm-int8-onnx")
