"""The artifact's README.md: what it is, how it was verified, and how each runtime that takes it loads it."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import huggingface_hub

from headway.runtime.artifact import Manifest, Variant

from .card_facts import CARD, CardFacts
from .card_ways import WAYS
from .report import figures_of

_TAGGED_WAYS = ("transformers.js", "onnxruntime-genai")
_REVIEWED_KEYS = ("language", "license", "license_name", "license_link")
# Tasks that the hub calls otherwise, or not at all.
_PIPELINE_TAGS: Mapping[str, str | None] = {"next-sentence-prediction": None, "speech-encoder-decoder": None}
_SEAL = "\n<!-- Written by headway export, and written anew by the next one as long as nobody changes it: {} -->\n"
_SEALED = re.compile(r"(?s)(.*)" + re.escape(_SEAL).replace(r"\{\}", "([0-9a-f]{64})"))


def write_card(facts: CardFacts, existing: Path | None = None) -> None:
    """Write README.md into the artifact.

    Args:
        facts: what there is to say.
        existing: the folder that the artifact takes the place of; a card there that is not as Headway wrote it is
            somebody's work, and goes along as it is.
    """
    target, card = facts.folder / CARD, existing / CARD if existing else None
    if card is not None and card.is_file() and not is_own(card.read_text(encoding="utf-8", errors="replace")):
        shutil.copyfile(card, target)
        return
    text = card_text(facts)
    target.write_text(text + _SEAL.format(_digest(text)), encoding="utf-8")


def is_own(text: str) -> bool:
    """Whether a card is as Headway wrote it, to the letter."""
    match = _SEALED.fullmatch(text)
    return match is not None and _digest(match[1]) == match[2]


def card_text(facts: CardFacts) -> str:
    """The whole card but for its last line."""
    ways = {way.title: way.text(facts) for way in WAYS}
    loading = [f"### {title}\n\n{text}" for title, text in ways.items() if text]
    parts = [_front_matter(facts, list(filter(ways.get, ways))), f"# {facts.name}", _what_it_is(facts)]
    parts += ["## Precisions", "\n".join(_variants_table(facts.manifest)), "\n".join(_inputs(facts))]
    parts += ["## How it was verified", "\n\n".join(_verification(facts.manifest))]
    parts += ["## How to load it", f"`{facts.name}` is this folder, from where you are.", *loading]
    return "\n\n".join(parts) + "\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _front_matter(facts: CardFacts, ways: list[str]) -> str:
    manifest, reviewed = facts.manifest, facts.checkpoint_card
    source = manifest.source
    # Only what came from the hub has a revision; a folder's name is nobody's id.
    base_model = source["checkpoint"] if "revision" in source else reviewed.get("base_model")
    tags = ["onnx", "headway", manifest.model_type]
    tags += [way for way in _TAGGED_WAYS if way in ways]
    data = huggingface_hub.ModelCardData(
        **{key: reviewed[key] for key in _REVIEWED_KEYS if key in reviewed},
        library_name="headway",
        tags=tags,
        base_model=base_model,
        pipeline_tag=_PIPELINE_TAGS.get(manifest.task, facts.task),
        ignore_metadata_errors=True,
    )
    return f"---\n{data.to_yaml()}\n---"


def _what_it_is(facts: CardFacts) -> str:
    manifest = facts.manifest
    source = manifest.source.get("checkpoint", "a model in memory")
    revision = f" (revision {manifest.source['revision'][:12]})" if "revision" in manifest.source else ""
    packages = ", ".join(f"{name} {manifest.packages[name]}" for name in _MADE_WITH if name in manifest.packages)
    operators = "standard operators and ONNX Runtime's own" if facts.contrib_operators else "standard operators only"
    limit = f" It takes {manifest.max_length} tokens at most." if manifest.max_length and facts.takes_text else ""
    model = f"`{manifest.architecture}` ({manifest.model_type})"
    more = "".join(f"\n\n> {warning}" for warning in manifest.warnings)
    return (
        f"{model} for {facts.task} in ONNX, exported from `{source}`{revision}.{limit} Its graphs hold {operators}. "
        f"Made with {packages}.{more}"
    )


_MADE_WITH = ("headway", "torch", "transformers", "onnx", "onnxruntime")


def _variants_table(manifest: Manifest) -> Iterator[str]:
    yield "| dtype | files | size | measured |"
    yield "|---|---|---|---|"
    for dtype, variant in manifest.variants.items():
        files = "<br>".join(f"`{entry.path}`" for entry in variant.files)
        yield f"| {dtype} | {files} | {variant.size_bytes / 1e6:.1f} MB | {_measured(variant)} |"


def _measured(variant: Variant) -> str:
    found = variant.verification
    if "max_relative_error" in found:
        return f"largest relative error {found['max_relative_error']:.1e}"
    return "; ".join(", ".join(figures_of(case)) for case in found.get("cases", ()))


def _inputs(facts: CardFacts) -> Iterator[str]:
    for name, component in facts.variant.components.items():
        for kind, specs in (("takes", component.inputs), ("gives", component.outputs)):
            listed = [f"`{spec.name}` ({', '.join(map(str, spec.shape))}) {spec.dtype}" for spec in specs]
            more = f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
            yield f"- {name} {kind} {', '.join(listed[:_SHOWN])}{more}"


# The rest are keys and values of further layers.
_SHOWN = 8


def _verification(manifest: Manifest) -> Iterator[str]:
    for dtype, variant in manifest.variants.items():
        found = variant.verification
        yield f"**{dtype}** beside {found.get('reference', 'PyTorch')}, {_demand(found)}:"
        yield "\n".join(f"- {case['name']}: {_case(case)}" for case in found.get("cases", ()))


def _demand(found: Mapping[str, Any]) -> str:
    if "tolerance" in found:
        return f"at most {found['tolerance']:g} of the output's scale apart"
    measured = {figure for case in found.get("cases", ()) for figure in case}
    limits = found.get("limits", {})
    asked = {name: words for name, (figure, words) in _LIMITS.items() if name in limits and figure in measured}
    return "held to " + ", ".join(f"{words} {limits[name]:g}" for name, words in asked.items()) if asked else "measured"


# Limit → the figure that it is for, and how to say it.
_LIMITS: Mapping[str, tuple[str, str]] = {
    "min_cosine": ("cosine", "a cosine of at least"),
    "min_top_1": ("top_1", "a share of equal answers of at least"),
    "max_perplexity_increase": ("perplexity", "a perplexity higher by at most"),
}


def _case(case: Mapping[str, Any]) -> str:
    if "error" not in case:
        return ", ".join(figures_of(case))
    figure = "not compared" if case["error"] is None else f"relative error {case['error']:.1e}"
    return f"{figure}, {case['note']}" if case.get("note") else figure
