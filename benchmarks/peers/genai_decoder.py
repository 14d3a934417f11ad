"""onnxruntime-genai's builder and its generation loop."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .worker import serve


def main(checkpoint: str, work: str, threads: str, precision: str = "fp32") -> None:
    """Build the model once, then answer ``{"ids": [[…]], "num_tokens": n}`` with greedy tokens."""
    folder = Path(work) / f"genai-{precision}"
    with contextlib.redirect_stdout(sys.stderr):
        if not (folder / "genai_config.json").exists():
            _build(checkpoint, folder, precision)
        _set_threads(folder, int(threads))
        import onnxruntime_genai

        model = onnxruntime_genai.Model(str(folder))

    def generate(ids: list[list[int]], num_tokens: int) -> list[list[int]]:
        params = onnxruntime_genai.GeneratorParams(model)
        params.set_search_options(
            do_sample=False, max_length=len(ids[0]) + num_tokens, batch_size=len(ids), past_present_share_buffer=True
        )
        generator = onnxruntime_genai.Generator(model, params)
        generator.append_tokens(ids)
        for _ in range(num_tokens):
            if generator.is_done():
                break
            generator.generate_next_token()
        return [[int(token) for token in generator.get_sequence(row)][len(ids[row]) :] for row in range(len(ids))]

    serve(generate)


def _build(checkpoint: str, folder: Path, precision: str) -> None:
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    options = ["-i", checkpoint, "-o", str(folder), "-p", precision, "-e", "cpu"]
    subprocess.run([*builder, *options], check=True, stdout=sys.stderr)


def _set_threads(folder: Path, threads: int) -> None:
    path = folder / "genai_config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
