"""What the manifest of a head says of its graph."""

from __future__ import annotations

from pathlib import Path

from headway.runtime.artifact import Artifact


def test_each_fusion_is_told_with_how_often_it_applied(minilm_artifact: Path) -> None:
    variant = Artifact(minilm_artifact).manifest.variants["fp32"]
    counts = dict(line.split(";")[0].split(": ") for line in variant.fusions)
    assert counts["packed projections"] == "6"  # query, key and value of each layer
    assert variant.components["model"].operators["Split"] == 6
