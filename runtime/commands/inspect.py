"""``headway inspect``: what an artifact is, and whether its files are whole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .common_options import add_hub_options, hub_options
from .json_lines import to_json
from .table import size_text, table

if TYPE_CHECKING:
    from ..artifact import Artifact

HELP = "show what an artifact is and how it was verified"

_SHOWN_OPERATORS = 8
_SHOWN_LABELS = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="DIR", help="artifact folder or hub id")
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    parser.add_argument(
        "--check", action="store_true", help="read every file and compare it with the manifest's sha256"
    )
    add_hub_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the facts; with ``--check`` the status is 1 where a file has changed."""
    from .inspection import inspect_artifact

    artifact = _open(arguments)
    facts = inspect_artifact(artifact)
    is_whole = True
    if arguments.check:
        facts["check"] = check = _check(artifact.changed_files() if artifact.manifest else None)
        is_whole = bool(check["passed"])
    sys.stdout.write((to_json(facts, indent=2) if arguments.json else "\n".join(_text(facts))) + "\n")
    return 0 if is_whole else 1


def _open(arguments: argparse.Namespace) -> Artifact:
    """The artifact; of a hub repository all files only where they are to be checked."""
    from ..artifact import Artifact
    from ..hub import resolve_folder
    from ..model_loading import HubOptions, open_artifact

    hub = hub_options(arguments)
    if arguments.check:
        return Artifact(resolve_folder(arguments.model, **hub))
    return open_artifact(arguments.model, HubOptions(**hub))


def _check(changed: Mapping[str, str] | None) -> dict[str, Any]:
    if changed is None:
        return {"passed": False, "changed": {}, "reason": "there is no manifest to compare with"}
    return {"passed": not changed, "changed": dict(changed)}


def _text(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"{facts['architecture'] or 'unknown architecture'} · {facts['task'] or 'unknown task'}"
    yield ""
    yield from table(list(_summary(facts)), indent=2)
    for name, variant in facts["variants"].items():
        yield ""
        yield f"{name}  {size_text(variant['size_bytes'])}{_precision_text(variant)}"
        yield from _variant_lines(variant)
    yield from _tuned_lines(facts["tuned"])
    if facts["packages"]:
        yield ""
        yield "made with " + ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    yield from (f"warning: {warning}" for warning in facts["warnings"])
    yield from _check_lines(facts.get("check"))


def _precision_text(variant: Mapping[str, Any]) -> str:
    """What a foreign file is asked for by, and what its weights are in where that is something else."""
    dtype, precision = variant.get("dtype"), variant.get("precision")
    if precision is None or precision == dtype:
        return f"  dtype {dtype}" if dtype else ""
    # A name without a precision stands for fp32, whatever is in the file.
    return f"  weights {precision}" if dtype in (None, "fp32") else f"  dtype {dtype}, weights {precision}"


def _summary(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "folder", facts["folder"]
    if facts["layout"] != "headway":
        yield "layout", facts["layout"]
    yield "model type", facts["model_type"] or "-"
    takes_text = facts["tokenizer"] or not facts["preprocessing"]
    if takes_text:
        yield "longest input", f"{facts['max_length']} tokens" if facts["max_length"] else "no limit known"
    if facts["labels"]:
        labels = facts["labels"]
        more = f" … ({len(labels)})" if len(labels) > _SHOWN_LABELS else ""
        yield "labels", ", ".join(labels[:_SHOWN_LABELS]) + more
    if facts["preprocessing"]:
        yield "preprocessing", facts["preprocessing"]
    if takes_text:
        yield "tokenizer", _tokenizer_text(facts["tokenizer"])
    if facts["sentence_transformers"]:
        yield "embeddings", "pooling and prompts of sentence-transformers"
    if facts["source"]:
        yield "source", ", ".join(f"{name} {value}" for name, value in facts["source"].items())
    if facts["trace"].get("path"):
        yield "traced by", str(facts["trace"]["path"])
    if facts["compat"]:
        yield "operators", "of the ONNX standard only"


def _tokenizer_text(tokenizer: Mapping[str, Any] | None) -> str:
    if tokenizer is None:
        return "none: the model takes arrays"
    parts = [str(tokenizer["kind"] or "unknown"), f"{tokenizer['vocab_size']} entries"]
    if tokenizer["max_length"]:
        parts.append(f"up to {tokenizer['max_length']} tokens")
    if tokenizer["chat_template"]:
        parts.append("chat template")
    return ", ".join(parts)


def _variant_lines(variant: Mapping[str, Any]) -> Iterator[str]:
    if len(variant["files"]) > 1:
        yield from table([[file["path"], size_text(file["size_bytes"])] for file in variant["files"]], indent=2)
    for graph in variant["graphs"].values():
        opset = f"  opset {graph['opset']}" if "opset" in graph else ""
        yield f"  {graph['file']}{opset}"
        tensors = [("input", spec) for spec in graph["inputs"]] + [("output", spec) for spec in graph["outputs"]]
        yield from table([[kind, spec["name"], spec["dtype"], _shape(spec)] for kind, spec in tensors], indent=4)
        if graph.get("batching"):
            yield f"    batching   {graph['batching']}"
        if graph.get("operators"):
            yield f"    operators  {_operators(graph['operators'])}"
    if variant.get("fusions"):
        yield f"  fusions  {', '.join(variant['fusions'])}"
    cases = variant.get("verification", {}).get("cases")
    if isinstance(cases, Sequence) and cases:
        yield f"  verified against {variant['verification'].get('reference', 'PyTorch')}"
        yield from table([_case_row(case) for case in cases if isinstance(case, Mapping)], indent=4)


def _case_row(case: Mapping[str, Any]) -> list[Any]:
    """Name, then every figure of a verification case, whatever the precision reports."""
    figures = [
        f"{name.replace('_', ' ')} {_figure(value)}"
        for name, value in case.items()
        if name != "name" and value not in (None, "")
    ]
    return [case.get("name", ""), ", ".join(figures)]


def _figure(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.6g}"


def _operators(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = ", ".join(f"{name} {count}" for name, count in ranked[:_SHOWN_OPERATORS])
    rest = sum(count for _, count in ranked[_SHOWN_OPERATORS:])
    return f"{shown}, {rest} more" if rest else shown


def _shape(spec: Mapping[str, Any]) -> str:
    return f"({', '.join(str(axis) for axis in spec['shape'])})"


def _tuned_lines(tuned: Mapping[str, Any]) -> Iterator[str]:
    """What ``headway tune`` found on each machine; a record may come from anywhere and hold anything."""
    for record in tuned.values():
        if isinstance(record, Mapping) and isinstance(record.get("setup"), Mapping):
            yield ""
            gain = f"{_figure(record.get('gain'))} times as fast as untuned"
            yield f"tuned for {record.get('machine')}: {record['setup'].get('dtype')}, {gain}"


def _check_lines(check: Mapping[str, Any] | None) -> Iterator[str]:
    if check is None:
        return
    yield ""
    if check["passed"]:
        yield "check: every file is as the manifest says"
    elif check.get("reason"):
        yield f"check: {check['reason']}"
    yield from (f"check: {path} changed: {difference}" for path, difference in check["changed"].items())
