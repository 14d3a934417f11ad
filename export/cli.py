"""``headway export``: a checkpoint to an artifact folder."""

from __future__ import annotations

import argparse
import json
import sys

from headway.runtime.commands.common_options import add_hub_options, hub_options

HELP = "export a checkpoint to an ONNX artifact"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", help="checkpoint folder or hub id")
    parser.add_argument("output", help="artifact folder to write")
    parser.add_argument("--task", help="task, synonym or AutoModelFor… class (default: from the checkpoint)")
    parser.add_argument(
        "--dtype", nargs="+", default=["fp32"], help="precisions to write: fp32 fp16 int8 q8 q4 (default: fp32)"
    )
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative error of fp32 accepted (default: 1e-4)")
    parser.add_argument("--min-cosine", type=float, help="least cosine of a head's outputs with fp32's")
    parser.add_argument("--min-top-1", type=float, help="least share of a head's answers that are fp32's")
    parser.add_argument(
        "--max-perplexity-increase", type=float, help="how much higher than fp32's perplexity may be; 0.08 is 8 percent"
    )
    parser.add_argument("--genai", action="store_true", help="let onnxruntime-genai open the folder too")
    parser.add_argument(
        "--compat", action="store_true", help="keep to standard ONNX operators, for runtimes without ONNX Runtime's own"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output folder where it exists")
    add_hub_options(parser, subfolder="folder of the checkpoint inside the repository")
    parser.add_argument("--trust-remote-code", action="store_true", help="run code that the checkpoint brings")
    parser.add_argument("--allow-random-weights", action="store_true", help="export a head whose weights are missing")
    parser.add_argument("--allow-pickle", action="store_true", help="load pickled weights, which can run code")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Export and print the report."""
    from .convert import export

    report = export(
        arguments.checkpoint,
        arguments.output,
        task=arguments.task,
        dtype=arguments.dtype,
        tolerance=arguments.tolerance,
        accuracy_limits={
            "min_cosine": arguments.min_cosine,
            "min_top_1": arguments.min_top_1,
            "max_perplexity_increase": arguments.max_perplexity_increase,
        },
        genai=arguments.genai,
        compat=arguments.compat,
        overwrite=arguments.overwrite,
        **hub_options(arguments),
        trust_remote_code=arguments.trust_remote_code,
        allow_random_weights=arguments.allow_random_weights,
        allow_pickle=arguments.allow_pickle,
    )
    text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if arguments.json else report.to_text()
    sys.stdout.write(text + "\n")
    return 0
