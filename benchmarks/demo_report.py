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


SHOWN: Mapping[str, Callable[[Sequence[str], Any], list[str]]] = {
    "embed": _similarities,
    "text-classification": _labels,
    "token-classification": _entities,
}


def print_environments(environments: Mapping[str, Any]) -> None:
    """Print what each side takes on disk."""
    print("\nOn disk")
    print(f"  PyTorch and transformers with what they require   {environments['pytorch_bytes'] / MEBIBYTE:6.0f} MiB")
    print(f"  the environment that ran the exports, all of it   {environments['headway_bytes'] / MEBIBYTE:6.0f} MiB")


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print sizes and timings, a line for each example and number of texts."""
    threads = rows[0]["num_threads"]
    print(f"\nSame texts, float32, {threads} threads, in turns, medians; start: process start to first answer\n")
    columns = ["", "artifact", "export", "texts", "PyTorch", "Headway", "ratio", "start", "", "difference"]
    print(_line(columns))
    for row in rows:
        for timing in row["timings"].values():
            print(_line(_cells(row, timing)))


def _cells(row: Mapping[str, Any], timing: Mapping[str, float]) -> list[str]:
    return [
        row["name"],
        f"{row['artifact_bytes'] / MEBIBYTE:.0f} MiB",
        f"{row['export_seconds']:.0f} s",
        f"{timing['num_texts']:.0f}",
        f"{timing['pytorch_ms']:.1f} ms",
        f"{timing['headway_ms']:.1f} ms",
        f"{timing['pytorch_ms'] / timing['headway_ms']:.1f} x",
        f"{row['pytorch_start_seconds']:.1f} s",
        f"{row['headway_start_seconds']:.1f} s",
        f"{row['largest_difference']:.0e}",
    ]


def _line(cells: Sequence[str]) -> str:
    first, *others = cells
    return f"  {first:11}" + "".join(f"{cell:>11}" for cell in others)
