"""Token for token like transformers: a chat model's greedy tokens, and a title model's greedy and with beams.

``python -m headway.benchmarks.parity`` exports both models, generates with transformers in float32 for every prompt by
itself and with Headway alone and in one ragged batch, and prints a table for each; its exit status is 1 where a token
differs. It takes some minutes.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.export import export
from headway.runtime import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from .environment import describe_environment
from .parity_prompts import TITLE_TEXTS, parity_prompts
from .real_models import fetch
from .report import table

NEW_TOKENS = 200
TITLE_TOKENS = 48
NUM_BEAMS = 4
SAME = "same"

Record = dict[str, Any]


@dataclass(frozen=True)
class Reference:
    """What transformers generated for one prompt.

    Args:
        tokens: the new ones.
        gaps: how far apart the two highest logits of each step were; near float32's error it is a tie.
    """

    tokens: list[int]
    gaps: list[float]


def chat_parity(num_tokens: int = NEW_TOKENS) -> Record:
    """SmolLM2-135M: greedy tokens for every prompt. End-of-sequence ids are switched off, so none ends early."""
    checkpoint = fetch("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    prompts = parity_prompts(tokenizer)
    expected = chat_references(checkpoint, prompts, num_tokens)
    model = _exported(checkpoint, AutoModelForCausalLM)

    def answers(ids: Sequence[list[int]], side: str) -> list[list[int]]:
        batch = tokenizer.pad({"input_ids": ids}, padding_side=side, return_tensors="np")
        output = model.generate(**batch, max_new_tokens=num_tokens, do_sample=False, eos_token_id=None)
        new: list[list[int]] = output[:, batch["input_ids"].shape[1] :].tolist()
        return new

    columns = {
        "alone": [answers([ids], "left")[0] for ids in prompts.values()],
        "in a batch, padded left": answers(list(prompts.values()), "left"),
        "in a batch, padded right": answers(list(prompts.values()), "right"),
    }
    rows = [
        {
            "prompt": name,
            "tokens": len(ids),
            **{way: verdict(tokens[index], expected[name]) for way, tokens in columns.items()},
            "closest two logits": min(expected[name].gaps),
        }
        for index, (name, ids) in enumerate(prompts.items())
    ]
    return _record(f"SmolLM2-135M, float32: {num_tokens} greedy tokens", rows)


def title_parity() -> Record:
    """The T5 title model: greedy and beam search until each title ends."""
    checkpoint = fetch("t5-title")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    expected = {num_beams: title_references(checkpoint, tokenizer, num_beams) for num_beams in (1, NUM_BEAMS)}
    model = _exported(checkpoint, AutoModelForSeq2SeqLM)

    def answers(texts: Sequence[str], num_beams: int) -> list[list[int]]:
        batch = tokenizer(list(texts), padding=True, return_tensors="np")
        options = {"num_beams": num_beams, "do_sample": False, "max_new_tokens": TITLE_TOKENS}
        new: list[list[int]] = model.generate(**batch, **options)[:, 1:].tolist()
        return new

    columns: dict[tuple[str, int], list[list[int]]] = {}
    for num_beams, way in ((1, "greedy"), (NUM_BEAMS, f"{NUM_BEAMS} beams")):
        columns[f"{way}, alone", num_beams] = [answers([text], num_beams)[0] for text in TITLE_TEXTS]
        columns[f"{way}, in a batch", num_beams] = answers(TITLE_TEXTS, num_beams)
    rows = [
        {
            "text": text if len(text) <= 40 else f"{text[:40]}…",
            **{way: verdict(new[index], expected[beams][index]) for (way, beams), new in columns.items()},
            "closest two logits": min(expected[1][index].gaps),
        }
        for index, text in enumerate(TITLE_TEXTS)
    ]
    return _record("The T5 title model, float32: titles", rows)


def verdict(tokens: Sequence[int], reference: Reference) -> str:
    """``same``, or where the first difference is and how close the two highest logits were there.

    What follows the reference has to be padding: one token over and over.
    """
    expected = reference.tokens
    if list(tokens[: len(expected)]) == expected and len(set(tokens[len(expected) :])) <= 1:
        return SAME
    pairs = zip(tokens, expected, strict=False)
    first = next(
        (index for index, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(tokens), len(expected))
    )
    gap = f", logits {reference.gaps[first]:.1e} apart" if first < len(reference.gaps) else ""
    return f"differs from token {first + 1} on{gap}"


def chat_references(checkpoint: Path, prompts: Mapping[str, list[int]], num_tokens: int) -> dict[str, Reference]:
    """What transformers' model adds to each prompt by itself."""
    import torch
    from transformers import AutoModelForCausalLM as TransformersModel

    model = TransformersModel.from_pretrained(checkpoint, dtype=torch.float32)
    options = {"max_new_tokens": num_tokens, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    return {name: _reference(model, torch.tensor([ids]), len(ids), **options) for name, ids in prompts.items()}


def title_references(checkpoint: Path, tokenizer: Any, num_beams: int) -> list[Reference]:
    """What transformers' model writes for each text by itself."""
    import torch
    from transformers import AutoModelForSeq2SeqLM as TransformersModel

    model = TransformersModel.from_pretrained(checkpoint, dtype=torch.float32)
    inputs = [torch.tensor([tokenizer(text)["input_ids"]]) for text in TITLE_TEXTS]
    options = {"num_beams": num_beams, "do_sample": False, "max_new_tokens": TITLE_TOKENS}
    return [_reference(model, ids, 1, **options) for ids in inputs]


def _reference(model: Any, input_ids: Any, prompt_length: int, **options: Any) -> Reference:
    import torch

    with torch.no_grad():
        output = model.generate(input_ids, return_dict_in_generate=True, output_logits=True, **options)
    tops = [logits[0].topk(2).values for logits in output.logits]
    return Reference(output.sequences[0, prompt_length:].tolist(), [float(top[0] - top[1]) for top in tops])


def _exported(checkpoint: Path, model_class: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        export(checkpoint, Path(folder) / "model", progress=False)
        # On Linux the weights stay mapped after the folder is gone.
        return model_class.from_pretrained(Path(folder) / "model", device="cpu")


def _record(title: str, rows: list[dict[str, Any]]) -> Record:
    settings = "Beside transformers, PyTorch, which answers every prompt by itself."
    return {"title": title, "settings": settings, "machine": describe_environment(), "rows": rows}


PARTS: Mapping[str, Callable[[], Record]] = {"smollm2": chat_parity, "t5-title": title_parity}


def _verdicts(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        for row in record["rows"]:
            yield from (cell for cell in row.values() if isinstance(cell, str) and cell.startswith((SAME, "differs")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the models named on the command line, both by default; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.parity", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there too")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(PARTS))
    if unknown:
        parser.error(f"no model is named {unknown[0]!r}; choose from {', '.join(PARTS)}")
    records = []
    for name in options.names or PARTS:
        records.append(PARTS[name]())
        print(f"\n{table(records[-1])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    return int(any(found != SAME for found in _verdicts(records)))


if __name__ == "__main__":
    sys.exit(main())
