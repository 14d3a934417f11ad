"""The demo's runtime side, run where neither torch nor transformers is installed.

``python -m headway.benchmarks.demo_headway TASK FOLDER THREADS`` loads an artifact and answers texts from stdin.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from headway.runtime import pipeline

from .demo_worker import serve


def _embed(folder: str, num_threads: int) -> Callable[[Sequence[str]], Any]:
    embed = pipeline("embed", model=folder, num_threads=num_threads)
    return lambda texts: [vector.tolist() for vector in embed(list(texts))]


def _classify(folder: str, num_threads: int) -> Callable[[Sequence[str]], Any]:
    classify = pipeline("text-classification", model=folder, num_threads=num_threads)
    return lambda texts: classify(list(texts))


def _find_entities(folder: str, num_threads: int) -> Callable[[Sequence[str]], Any]:
    find = pipeline("token-classification", model=folder, num_threads=num_threads, aggregation_strategy="simple")
    return lambda texts: find(list(texts))


def _chat(folder: str, num_threads: int) -> Callable[[Sequence[str]], Any]:
    generate = pipeline("text-generation", model=folder, num_threads=num_threads)

    def answer(text: str) -> Any:
        chat = [{"role": "user", "content": text}]
        return generate(chat, max_new_tokens=40, do_sample=False, return_full_text=False)[0]["generated_text"]

    return lambda texts: [answer(text) for text in texts]


LOADERS = {
    "embed": _embed,
    "text-classification": _classify,
    "token-classification": _find_entities,
    "text-generation": _chat,
}


if __name__ == "__main__":
    task, folder, threads = sys.argv[1:]
    serve(LOADERS[task](folder, int(threads)))
