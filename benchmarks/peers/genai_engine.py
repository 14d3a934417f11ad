"""onnxruntime-genai's builder and its generation loop."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .engine import Engine, Ids, Settings
from .scoring import next_token_log_probabilities


def decoder(settings: Settings) -> Engine:
    """Rows of ids, all of one length → greedy tokens."""
    folder = settings.work / f"genai-{settings.precision}"
    if not (folder / "genai_config.json").exists():
        export_decoder(settings.checkpoint, folder, settings.precision)
    _set_threads(folder, settings.threads)
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(folder))

    def generate(request: tuple[Ids, int]) -> list[list[int]]:
        ids, num_tokens = request
        params = onnxruntime_genai.GeneratorParams(model)
        length = len(ids[0]) + num_tokens
        params.set_search_options(
            do_sample=False, max_length=length, min_length=length, batch_size=len(ids), past_present_share_buffer=True
        )
        generator = onnxruntime_genai.Generator(model, params)
        generator.append_tokens(ids)
        for _ in range(num_tokens):
            if generator.is_done():
                break
            generator.generate_next_token()
        return [[int(token) for token in generator.get_sequence(row)][len(ids[row]) :] for row in range(len(ids))]

    return Engine(
        generate,
        lambda ids, num_tokens: (ids, num_tokens),
        score=lambda rows: _score(folder / "model.onnx", settings.threads, rows),
        files=tuple(folder.glob("model.onnx*")),
    )


def export_decoder(checkpoint: Path, folder: Path, precision: str) -> None:
    """Export a language model with genai's own builder and its defaults for the CPU.

    Args:
        precision: of the builder, and after a ``+`` the way it rounds: ``int4+k_quant``.
    """
    bits, _, algorithm = precision.partition("+")
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    options = ["-i", str(checkpoint), "-o", str(folder), "-p", bits, "-e", "cpu"]
    if algorithm:
        options += ["--extra_options", f"algo_config={algorithm}"]
    subprocess.run([*builder, *options], check=True, stdout=sys.stderr)


def _set_threads(folder: Path, threads: int) -> None:
    path = folder / "genai_config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")


def _score(graph: Path, threads: int, rows: Ids) -> list[list[float]]:
    """Through ONNX Runtime: genai's generator shows the last token's logits alone."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    config = json.loads((graph.parent / "genai_config.json").read_text(encoding="utf-8"))["model"]["decoder"]
    found = []
    for row in rows:
        feeds = {}
        for spec in session.get_inputs():
            if "past" in spec.name:
                shape = (1, config["num_key_value_heads"], 0, config["head_size"])
                feeds[spec.name] = np.zeros(shape, dtype=np.float32)
        ids = np.array([row], dtype=np.int64)
        names = {spec.name for spec in session.get_inputs()}
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(len(row))[None]}
        feeds.update({name: value for name, value in values.items() if name in names})
        found.append(next_token_log_probabilities(session.run(["logits"], feeds)[0][0], row))
    return found
