"""SmolLM2-135M in 8 and 4 bits beside onnxruntime-genai's int4: speed, and the perplexity it costs on the same text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers

from headway.export.precisions.accuracy import TextScore
from headway.export.precisions.probes import prefill_feeds
from headway.export.precisions.texts import TextSource, evaluation_text
from headway.runtime.manifest import MANIFEST_FILE
from headway.runtime.safe_paths import read_json
from headway.runtime.session import Session, SessionOptions

from .decoding import Engine, compare

SCORED_TOKENS, WINDOW_TOKENS = 2048, 512

ENGINES: Mapping[str, Engine] = {
    "Headway q4": Engine(None, "headway_decoder", "q4"),
    "Headway int8+q4": Engine(None, "headway_decoder", "int8+q4"),
    "Headway q8": Engine(None, "headway_decoder", "q8"),
    "Headway int8": Engine(None, "headway_decoder", "int8"),
    "onnxruntime-genai 0.18 int4": Engine("onnxruntime-genai", "genai_decoder", "int4"),
}


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    dtypes = ["fp32", "q4", "q8", "int8"]
    return compare("4 and 8 bits", ENGINES, dtypes, "perplexity above fp32's, %", _perplexity_increases)


def _perplexity_increases(
    checkpoint: Path, work: Path, answers: Mapping[str, list[list[int]]]
) -> dict[str, float | None]:
    """What the artifact says of Headway's precisions, and the same text through the peer's own graph.

    Two precisions together have no figure of their own: the text is scored in runs of many tokens, which one of them
    never sees.
    """
    variants = read_json(work / "headway" / MANIFEST_FILE)["variants"]
    found: dict[str, float | None] = {}
    for name, engine in ENGINES.items():
        if engine.environment is not None:
            graph = work / f"genai-{engine.precision}" / "model.onnx"
            found[name] = 100 * perplexity_increase(checkpoint, work / "headway" / "onnx" / "model.onnx", graph)
        elif engine.precision in variants:
            found[name] = 100 * variants[engine.precision]["verification"]["cases"][0]["perplexity_increase"]
        else:
            found[name] = None
    return found


def perplexity_increase(checkpoint: Path, reference: Path, graph: Path) -> float:
    """How much higher a decoder graph's perplexity is than another's; 0.02 is 2 %.

    Args:
        checkpoint: folder of the tokenizer.
        reference: the float32 graph.
        graph: the one to judge, whoever exported it.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    ids = TextSource(tokenizer, evaluation_text()).take(SCORED_TOKENS)
    one, other = (Session(path, options=SessionOptions(device="cpu")) for path in (reference, graph))
    # Some exporters leave the sizes of their states open; both graphs keep the same.
    sizes = {spec.name: spec for spec in one.inputs}
    inputs = [sizes.get(spec.name, spec) for spec in other.inputs]
    score = TextScore("real text")
    for start in range(0, len(ids), WINDOW_TOKENS):
        tokens = ids[start : start + WINDOW_TOKENS]
        logits = [
            session.run(prefill_feeds(specs, tokens), ["logits"])[0][0, :-1]
            for session, specs in ((one, one.inputs), (other, inputs))
        ]
        score.add(logits[0], logits[1], tokens[1:])
    return score.result().perplexity_increase or 0.0
