"""Where the checks run and how large their models are: a GPU and real sizes, or, in tests, the CPU and tiny ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headway.export import export

VOCAB_SIZE = 8192
_SEED = 20261122


@dataclass(frozen=True)
class Sizes:
    """Sizes of the models with random weights.

    Args:
        encoders: name → hidden size, layers, heads.
        decoder: hidden size, layers, heads and KV heads of the language model that is compared token by token.
        large_decoder: the same of the one that is timed.
        batches: rows that are timed.
        length: tokens of each row.
        new_tokens: tokens that are generated.
        soak_calls: calls with random shapes.
    """

    encoders: Mapping[str, tuple[int, int, int]] = field(
        default_factory=lambda: {"DistilBERT-size": (768, 6, 12), "BERT-base": (768, 12, 12)}
    )
    decoder: tuple[int, int, int, int] = (512, 8, 8, 4)
    large_decoder: tuple[int, int, int, int] = (2048, 16, 32, 8)
    batches: tuple[int, ...] = (1, 8, 32)
    length: int = 128
    new_tokens: int = 64
    soak_calls: int = 1000


@dataclass(frozen=True)
class Setting:
    """What every check is given.

    Args:
        folder: where models are exported to.
        device: ``"cuda"``; tests say ``"cpu"``.
        sizes: of the models.
        dtypes: precisions that are compared.
    """

    folder: Path
    device: str = "cuda"
    sizes: Sizes = Sizes()
    dtypes: tuple[str, ...] = ("fp32", "fp16")

    @cached_property
    def _made(self) -> dict[str, tuple[Any, Path]]:
        return {}

    def encoder(self, name: str) -> tuple[Any, Path]:
        """A classifier of PyTorch and its artifact."""
        return self._exported(name, lambda: _encoder(*self.sizes.encoders[name]))

    def decoder(self, *, large: bool = False) -> tuple[Any, Path]:
        """A language model of PyTorch and its artifact."""
        shape = self.sizes.large_decoder if large else self.sizes.decoder
        return self._exported("large decoder" if large else "decoder", lambda: _decoder(*shape))

    def seq2seq(self) -> tuple[Any, Path]:
        """An encoder-decoder of PyTorch and its artifact."""
        hidden, layers, heads, _ = self.sizes.decoder
        return self._exported("encoder-decoder", lambda: _seq2seq(hidden, layers, heads))

    def ids(self, rows: int, length: int | None = None) -> np.ndarray[Any, Any]:
        """(rows, length) random token ids."""
        random = np.random.default_rng(_SEED + rows)
        return random.integers(4, VOCAB_SIZE, (rows, length or self.sizes.length))

    def _exported(self, name: str, build: Callable[[], Any]) -> tuple[Any, Path]:
        if name not in self._made:
            import torch

            torch.manual_seed(_SEED)
            model, folder = build().eval(), self.folder / name.replace(" ", "-")
            export(model, folder, dtype=list(self.dtypes), progress=False)
            self._made[name] = model.to(self.device), folder
        return self._made[name]


def _encoder(hidden: int, layers: int, heads: int) -> Any:
    import transformers

    config = transformers.BertConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )
    return transformers.BertForSequenceClassification(config)


def _decoder(hidden: int, layers: int, heads: int, kv_heads: int) -> Any:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=4096,
        # What is greedy must not hang on a rounding: larger weights set the likeliest token apart.
        initializer_range=0.1,
    )
    return transformers.LlamaForCausalLM(config)


def _seq2seq(hidden: int, layers: int, heads: int) -> Any:
    import transformers

    config = transformers.T5Config(
        vocab_size=VOCAB_SIZE,
        d_model=hidden,
        num_layers=layers,
        num_heads=heads,
        d_kv=hidden // heads,
        d_ff=4 * hidden,
        decoder_start_token_id=0,
    )
    return transformers.T5ForConditionalGeneration(config)
