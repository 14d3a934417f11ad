"""``python -m headway.benchmarks.gpu``: check and measure on a GPU, and record the outcome with its name."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.runtime.errors import HeadwayError, ProviderError
from headway.runtime.providers import CUDA_PROVIDER, import_onnxruntime

from ..environment import describe_environment
from ..report import RESULTS, table
from .checks import Outcome, cache_stays, missing_library, parity, placement, soak
from .latency import decoder_rows, encoder_rows
from .setting import Setting

CHECKS: Mapping[str, Callable[[Setting], Outcome]] = {
    "placement": placement,
    "parity": parity,
    "cache": cache_stays,
    "memory": soak,
    "library": missing_library,
}
LATENCIES: Mapping[str, Callable[[Setting], list[dict[str, Any]]]] = {
    "encoders": encoder_rows,
    "decoder": decoder_rows,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks named on the command line, all by default; exit status 1 where one fails or there is no GPU."""
    names = [*CHECKS, *LATENCIES]
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.gpu", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CHECK", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the record goes")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"no check is named {unknown[0]!r}; choose from {', '.join(names)}")
    try:
        gpu = require_gpu()
        with tempfile.TemporaryDirectory(prefix="headway-gpu-") as folder:
            record = run_all(Setting(Path(folder)), options.names or names, gpu)
    except HeadwayError as error:
        print(f"headway.benchmarks.gpu: {error}", file=sys.stderr)
        return 1
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "gpu.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))
    return int(not all(check["passed"] for check in record["checks"]))


def require_gpu() -> str:
    """The GPU's name.

    Raises:
        ProviderError: ONNX Runtime or PyTorch have none; the message says what is missing.
    """
    available = import_onnxruntime().get_available_providers()
    if CUDA_PROVIDER not in available:
        raise ProviderError(
            f"This needs an NVIDIA GPU and headway[gpu]; the installed onnxruntime has only {', '.join(available)}."
        )
    import torch

    if not torch.cuda.is_available():
        raise ProviderError(
            f"This needs a GPU that PyTorch sees, to compare with; torch {torch.__version__} sees none. "
            "Install a build of torch for CUDA, and check the driver with nvidia-smi."
        )
    return str(torch.cuda.get_device_name())


def run_all(setting: Setting, names: Sequence[str], gpu: str) -> dict[str, Any]:
    """The record of all checks and times; a check that raises has failed, and the others go on."""
    outcomes = [_outcome(name, setting) for name in CHECKS if name in names]
    rows = [row for name in LATENCIES if name in names for row in LATENCIES[name](setting)]
    shown = rows or [{"check": one.name, "passed": "yes" if one.passed else "no"} for one in outcomes]
    verdict = ", ".join(f"{one.name}: {'yes' if one.passed else 'NO'}" for one in outcomes)
    return {
        "title": f"{gpu}: milliseconds of a call",
        "machine": describe_environment(),
        "gpu": gpu,
        "settings": f"Random weights, in one process, in turns, medians of 21 rounds. Checks: {verdict or 'none'}.",
        "rows": shown,
        "checks": [{"name": one.name, "passed": one.passed, "figures": dict(one.figures)} for one in outcomes],
    }


def _outcome(name: str, setting: Setting) -> Outcome:
    try:
        return CHECKS[name](setting)
    except Exception as error:
        return Outcome(name, False, {"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    sys.exit(main())
