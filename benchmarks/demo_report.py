"""What the demo prints: each example's results, the two environments, and the table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MEBIBYTE = 2**20


def print_examples(task: str, texts: Sequence[str], results: Any) -> None:
    """Print what a model said of each of `texts`."""
    print("  without PyTorch:")
    for line in SHOWN[task](texts, results):
        print(f"    {line}")


def _similarities(texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> list[str]:
    """How close every later text is to the first, from normalised vectors."""
    first, *others = vectors
    cosines = [sum(a * b for a, b in zip(first, other, strict=True)) for other in others]
    return [f"{cosine:6.3f}  {texts[0]!r} · {text!r}" for cosine, text in zip(cosines, texts[1:], strict=True)]


def _labels(texts: Sequence[str], results: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{result['label']} {result['score']:.3f}  {text!r}" for text, result in zip(texts, results, strict=True)]


def _entities(texts: Sequence[str], results: Sequence[Any]) -> list[str]:
    found = results[0] if isinstance(results[0], list) else results
    return [
        f"{entity['entity_group']:4} {entity['score']:.3f}  {texts[0][entity['start'] : entity['end']]!r}"
        for entity in found
    ]


def _answers(texts: Sequence[str], results: Sequence[str]) -> list[str]:
    return [f"{text!r} → {result!r}" for text, result in zip(texts, results, strict=True)]


SHOWN: Mapping[str, Callable[[Sequence[str], Any], list[str]]] = {
    "embed": _similarities,
    "text-classification": _labels,
    "token-classification": _entities,
    "text-generation": _answers,
}


def print_environments(environments: Mapping[str, Any]) -> None:
    """Print what each side takes on disk."""
    print("\nOn disk")
    print(f"  PyTorch and transformers with what they require   {environments['pytorch_bytes'] / MEBIBYTE:6.0f} MiB")
    print(f"  the environment that ran the exports, all of it   {environments['headway_bytes'] / MEBIBYTE:6.0f} MiB")


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print sizes and start-up, a line for each example, then timings, a line for each number of texts."""
    print("\nExports (start: from the start of the process to the first answer)\n")
    print(_line("", ["checkpoint", "artifact", "export", "start: PyTorch", "Headway", "difference"]))
    for row in rows:
        print(_line(row["name"], _export_cells(row)))
    print(f"\nSame texts, float32, {rows[0]['num_threads']} threads, in turns; medians of {rows[0]['num_rounds']}\n")
    print(_line("", ["texts", "PyTorch", "Headway", "faster"]))
    for row in rows:
        for timing in row["timings"]:
            print(_line(row["name"], _timing_cells(timing)))


def _export_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['checkpoint_bytes'] / MEBIBYTE:.0f} MiB",
        f"{row['artifact_bytes'] / MEBIBYTE:.0f} MiB",
        f"{row['export_seconds']:.0f} s",
        f"{row['pytorch_start_seconds']:.1f} s",
        f"{row['headway_start_seconds']:.1f} s",
        f"{row['largest_difference']:.0e}",
    ]


def _timing_cells(timing: Mapping[str, float]) -> list[str]:
    return [
        f"{timing['num_texts']:.0f}",
        f"{timing['pytorch_ms']:.1f} ms",
        f"{timing['headway_ms']:.1f} ms",
        f"{timing['pytorch_ms'] / timing['headway_ms']:.1f} x",
    ]


def _line(name: str, cells: Sequence[str]) -> str:
    return f"  {name:11}" + "".join(f"{cell:>15}" for cell in cells)
