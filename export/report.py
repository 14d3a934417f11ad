"""What an export did, as an object, as JSON and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.runtime.artifact import Manifest


@dataclass(frozen=True)
class ExportReport:
    """The result of :func:`headway.export.export`.

    Args:
        folder: the artifact.
        manifest: what headway.json holds.
        stages_s: stage → seconds.
    """

    folder: Path
    manifest: Manifest
    stages_s: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON form: the manifest's facts, the folder and the time each stage took."""
        return {
            "folder": str(self.folder),
            "stages_s": {stage: round(seconds, 3) for stage, seconds in self.stages_s.items()},
            **self.manifest.to_dict(),
        }

    def to_text(self) -> str:
        """A table for the terminal."""
        manifest = self.manifest
        lines = [f"{manifest.architecture} → {self.folder}", f"  task           {manifest.task}"]
        lines.append(f"  traced by      {manifest.trace['path']}")
        lines += [f"    not by {path}: {reason}" for path, reason in manifest.trace.get("refused", {}).items()]
        lines.append(_size_line(manifest))
        if manifest.compat:
            lines.append("  operators      of the ONNX standard only")
        for dtype, variant in manifest.variants.items():
            reference = variant.verification.get("reference", "PyTorch")
            lines.append(f"  {dtype:<14} {variant.size_bytes / 1e6:.1f} MB, verified against {reference}:")
            lines += [_case_line(case) for case in variant.verification.get("cases", ())]
        lines.append("  time           " + ", ".join(f"{stage} {s:.1f} s" for stage, s in self.stages_s.items()))
        lines += [f"  warning        {warning}" for warning in manifest.warnings]
        return "\n".join(lines)


def _size_line(manifest: Manifest) -> str:
    """How long a text may be, or what an image or audio input looks like."""
    variant = next(iter(manifest.variants.values()))
    main_input = next(iter(variant.components.values())).inputs[0]
    if main_input.name == "input_ids":
        return f"  longest input  {manifest.max_length or 'no limit'}"
    return f"  takes          {main_input.name} ({', '.join(map(str, main_input.shape))})"


def _case_line(case: dict[str, Any]) -> str:
    if "error" not in case:
        return f"    {case['name']:<34} {', '.join(figures_of(case))}"
    figure = "—" if case["error"] is None else f"{case['error']:.1e}"
    note = f"  {case['note']}" if case.get("note") else ""
    return f"    {case['name']:<34} relative error {figure:>8}{note}"


def figures_of(case: Mapping[str, Any]) -> Iterator[str]:
    """What a reduced precision was measured to be, beside fp32."""
    yield f"cosine {case['cosine']:.5f}"
    if "top_1" in case:
        yield f"top-1 {case['top_1']:.1%}"
    if "perplexity" in case:
        figures = case["reference_perplexity"], case["perplexity"], case["perplexity_increase"]
        yield "perplexity {:.3f} → {:.3f} ({:+.1%})".format(*figures)
