"""llama.cpp through llama-cpp-python's low-level calls: no Python work between steps but the choice of the token."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .engine import Engine, Ids, Settings
from .scoring import next_token_log_probabilities

# Precision → llama.cpp's name of the file type (llama_ftype).
_FILE_TYPES = {
    "fp32": "LLAMA_FTYPE_ALL_F32",
    "Q8_0": "LLAMA_FTYPE_MOSTLY_Q8_0",
    "Q4_0": "LLAMA_FTYPE_MOSTLY_Q4_0",
}
_LONGEST = 1024
_MOST_ROWS = 8


def decoder(settings: Settings) -> Engine:
    """Rows of ids, all of one length → greedy tokens."""
    source = Path(settings.options["gguf"])
    path = settings.work / f"llama-cpp-{settings.precision}.gguf"
    if settings.precision == "original":
        path = source
    elif not path.exists():
        quantize(source, path, settings.precision)
    context = _Context(path, settings.threads)
    return Engine(
        lambda request: context.generate(*request),
        lambda ids, num_tokens: (ids, num_tokens),
        score=lambda rows: [next_token_log_probabilities(context.logits(row), row) for row in rows],
        files=(path,),
    )


def quantize(source: Path, target: Path, precision: str) -> None:
    """Write a GGUF file in another precision, with llama.cpp's own quantizer."""
    import llama_cpp

    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = getattr(llama_cpp, _FILE_TYPES[precision])
    options.allow_requantize = True
    options.nthread = 1
    unfinished = target.with_suffix(".part")
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(unfinished).encode(), ctypes.byref(options))
    if status:
        raise OSError(f"llama.cpp could not write {target.name}: status {status}.")
    unfinished.rename(target)


class _Context:
    """A loaded model and its key-value cache."""

    def __init__(self, path: Path, threads: int) -> None:
        import llama_cpp

        self._api = llama_cpp
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise OSError(f"llama.cpp could not load {path.name}.")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = _LONGEST * _MOST_ROWS
        options.n_batch = options.n_ubatch = _LONGEST
        options.n_seq_max = _MOST_ROWS
        options.n_threads = options.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch = llama_cpp.llama_batch_init(_LONGEST, 0, 1)

    def generate(self, rows: Ids, num_tokens: int) -> list[list[int]]:
        """Prompts of one length, and the same number of greedy tokens for each."""
        self._clear()
        length = len(rows[0])
        newest = []
        for row, ids in enumerate(rows):
            self._decode([(token, position, row) for position, token in enumerate(ids)], [length - 1])
            newest.append(self._best(length - 1))
        found = [[token] for token in newest]
        for step in range(1, num_tokens):
            tokens = [(token, length + step - 1, row) for row, token in enumerate(newest)]
            self._decode(tokens, range(len(rows)))
            newest = [self._best(row) for row in range(len(rows))]
            for made, newest_token in zip(found, newest, strict=True):
                made.append(newest_token)
        return found

    def logits(self, ids: Sequence[int]) -> Any:
        """(tokens, vocabulary) of one row."""
        import numpy as np

        self._clear()
        self._decode([(token, position, 0) for position, token in enumerate(ids)], range(len(ids)))
        return np.stack([self._logits(index).copy() for index in range(len(ids))])

    def _clear(self) -> None:
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)

    def _decode(self, tokens: Sequence[tuple[int, int, int]], wanted: Sequence[int]) -> None:
        """Run tokens, each with its position and its row; logits of the wanted ones can be read afterwards."""
        batch, kept = self._batch, set(wanted)
        batch.n_tokens = len(tokens)
        for index, (token, position, row) in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = row
            batch.logits[index] = index in kept
        status = self._api.llama_decode(self._context, batch)
        if status:
            raise RuntimeError(f"llama_decode gave status {status}.")

    def _best(self, index: int) -> int:
        return int(self._logits(index).argmax())

    def _logits(self, index: int) -> Any:
        import numpy as np

        return np.ctypeslib.as_array(self._api.llama_get_logits_ith(self._context, index), shape=(self._vocabulary,))
