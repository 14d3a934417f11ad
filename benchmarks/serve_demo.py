"""``make serve-demo``: the demo's models, exported unless they already were, behind ``headway serve``."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from headway.runtime.errors import HeadwayError

from .demo import EXAMPLES, export_artifact

_TRY = """
Once it serves, try it in a browser at http://localhost:{port}/ or from another terminal:

  curl localhost:{port}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "chat", "temperature": 0,
         "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'
  curl localhost:{port}/predict -H 'Content-Type: application/json' -d '{{"inputs": "I hate this so much!"}}'
  curl localhost:{port}/v1/embeddings -H 'Content-Type: application/json' \\
    -d '{{"model": "embeddings", "input": "A man is eating food."}}'

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Export what is missing, then become the server; return the exit status where that fails."""
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.serve_demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where artifacts are (default: demo/)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    options = parser.parse_args(arguments)
    try:
        folders = demo_artifacts(options.folder)
    except HeadwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(_TRY.format(port=options.port), flush=True)
    return become_server(folders, options.port)


def demo_artifacts(folder: Path) -> dict[str, Path]:
    """Name → artifact of every model of the demo; those that `make demo` left are used as they are."""
    artifacts = {}
    for example in EXAMPLES:
        artifacts[example.name] = artifact = folder / "artifacts" / example.name
        if not artifact.is_dir():
            print(f"{example.name} ({example.task})", flush=True)
            export_artifact(example.checkpoint(folder / "checkpoints" / example.name), artifact)
    return artifacts


def become_server(folders: Mapping[str, Path], port: int) -> int:
    """Go on as ``headway serve``, in this process: Ctrl-C and signals reach the server itself."""
    headway = str(Path(sys.executable).with_name("headway"))
    models = [f"{name}={folder}" for name, folder in folders.items()]
    os.execv(headway, [headway, "serve", "--port", str(port), *models])


if __name__ == "__main__":
    sys.exit(main())
