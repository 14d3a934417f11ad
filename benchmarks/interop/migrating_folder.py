"""The folder that docs/migrating.md runs in: its checkpoints under the names it gives them, and what it exports."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from headway.benchmarks.peers.environments import PeerUnavailableError, environment_python
from headway.benchmarks.peers.worker import worker_variables
from headway.benchmarks.real_models import fetch

_MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_REAL_MODELS = {_MINILM: "minilm", "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2", "you/titles": "t5-title"}
_TOKENIZER_SETTINGS = "tokenizer_config.json"
SENTIMENT, JUDGE = "you/sentiment", "you/judge"

# Command → the peer's environment that has it.
_ENVIRONMENTS = {"optimum-cli": "optimum-onnx"}


def link_checkpoints(folder: Path) -> None:
    """Let the names of the document lead to real models, and to two heads on one of them."""
    for name, model in _REAL_MODELS.items():
        _link_for_both(folder, name, fetch(model))
    make_heads(folder, fetch("minilm"))


def link(folder: Path, name: str, target: Path) -> None:
    """Let a name lead to a folder or a file, as a hub id would."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.symlink_to(target)


def _link_for_both(folder: Path, name: str, checkpoint: Path) -> None:
    """Link a checkpoint so that transformers 4, which optimum-onnx needs, finds a tokenizer class that it knows."""
    settings = json.loads((checkpoint / _TOKENIZER_SETTINGS).read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") != "TokenizersBackend":
        link(folder, name, checkpoint)
        return
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    for path in checkpoint.iterdir():
        if path.name != _TOKENIZER_SETTINGS:
            link(target, path.name, path)
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    (target / _TOKENIZER_SETTINGS).write_text(json.dumps({**settings, **names}), encoding="utf-8")


def make_heads(folder: Path, trunk: Path) -> None:
    """A classifier of two labels, trained a little, and a cross-encoder that was not: both sides get the same."""
    if not (folder / SENTIMENT).is_dir():
        from headway.benchmarks.demo_heads import train_sentiment

        train_sentiment(trunk, folder / SENTIMENT)
    if not (folder / JUDGE).is_dir():
        _save_judge(trunk, folder / JUDGE)


def _save_judge(trunk: Path, checkpoint: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # The head is new, which is no news here.
    model = transformers.AutoModelForSequenceClassification.from_pretrained(trunk, num_labels=1)
    transformers.logging.set_verbosity(verbosity)
    model.save_pretrained(checkpoint)
    transformers.AutoTokenizer.from_pretrained(trunk).save_pretrained(checkpoint)


def run_commands(commands: Iterable[str], folder: Path) -> None:
    """Run the exports whose last word names no finished folder yet.

    Raises:
        PeerUnavailableError: one failed, or its program cannot be installed.
    """
    for command in commands:
        program, *arguments = shlex.split(command)
        target = folder / arguments[-1]
        finished = folder / f".{target.name}.complete"
        if finished.exists():
            continue
        shutil.rmtree(target, ignore_errors=True)
        environment = _ENVIRONMENTS.get(program)
        python = environment_python(environment) if environment else Path(sys.executable)
        done = subprocess.run(
            [str(python.with_name(program)), *arguments],
            cwd=folder,
            env={**os.environ, **worker_variables(threads=1)},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise PeerUnavailableError(f"{command}: {' '.join(done.stderr.split()[-40:])}")
        finished.touch()
