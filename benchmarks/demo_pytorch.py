"""The demo's PyTorch side: the same checkpoints through transformers, in float32 and in one padded batch.

``python -m headway.benchmarks.demo_pytorch TASK FOLDER THREADS`` loads a checkpoint and answers texts from stdin.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
import transformers

from .demo_worker import serve


def _embed(folder: str) -> Callable[[Sequence[str]], Any]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)

    def embed(texts: Sequence[str]) -> Any:
        inputs = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        vectors = (hidden * mask).sum(1) / mask.sum(1)  # (texts, hidden)
        return torch.nn.functional.normalize(vectors).tolist()

    return embed


def _pipeline(task: str, folder: str, **options: Any) -> Callable[[Sequence[str]], Any]:
    run = transformers.pipeline(task, model=folder, dtype=torch.float32, **options)  # type: ignore[call-overload]
    return lambda texts: _plain(run(list(texts), batch_size=len(texts)))


def _chat(folder: str) -> Callable[[Sequence[str]], Any]:
    generate = transformers.pipeline("text-generation", model=folder, dtype=torch.float32)

    def answer(text: str) -> Any:
        chat = [{"role": "user", "content": text}]
        return generate(chat, max_new_tokens=40, do_sample=False, return_full_text=False)[0]["generated_text"]

    return lambda texts: [answer(text) for text in texts]


def _plain(result: Any) -> Any:
    """The same lists and dictionaries with numpy's numbers as Python's, which JSON takes."""
    if isinstance(result, list):
        return [_plain(item) for item in result]
    if isinstance(result, dict):
        return {key: _plain(value) for key, value in result.items()}
    return result.item() if hasattr(result, "item") else result


LOADERS: dict[str, Callable[[str], Callable[[Sequence[str]], Any]]] = {
    "embed": _embed,
    "text-classification": lambda folder: _pipeline("text-classification", folder),
    "token-classification": lambda folder: _pipeline("token-classification", folder, aggregation_strategy="simple"),
    "text-generation": _chat,
}


if __name__ == "__main__":
    task, folder, threads = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(int(threads))
    torch.set_grad_enabled(False)
    serve(LOADERS[task](folder))
