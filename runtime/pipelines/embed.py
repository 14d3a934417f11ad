"""Texts to embeddings: one vector for each, as the folder's sentence-transformers files say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..batching import PaddedBatch, Rows
from ..errors import OptionError
from ..models import Model
from ..pooling import pool
from ..sentence_transformers import read_recipe, unit_length
from ..similarity import SIMILARITIES
from ..tokenization.tokenizer import Tokenizer
from .encode import CutLog, encode_rows
from .inputs import plain_texts
from .options import PipelineOptions, require_flag
from .progress import Progress
from .runner import Array
from .text import TextPipeline
from .windows import Window

FloatArray = NDArray[Any]


@dataclass(frozen=True)
class EmbedOptions(PipelineOptions):
    """Options of embedding.

    Args:
        prompt: text put before every input.
        prompt_name: name of one of the model's prompts to put there; ``prompt`` wins over it.
        normalize_embeddings: scale embeddings to length one.
        truncate_dim: dimensions to keep; None takes the model's choice.
    """

    prompt: str | None = None
    prompt_name: str | None = None
    normalize_embeddings: bool = False
    truncate_dim: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_flag("normalize_embeddings", self.normalize_embeddings)
        if self.truncate_dim is not None and (not isinstance(self.truncate_dim, int) or self.truncate_dim < 1):
            raise OptionError(f"truncate_dim is {self.truncate_dim!r}; it must be a whole number of at least 1.")


@dataclass(frozen=True)
class PromptedRows:
    """Rows, each behind a prompt.

    Args:
        rows: the ids of prompts and texts together.
        num_prompt_tokens: tokens at each row's start that are not pooled.
    """

    rows: Rows
    num_prompt_tokens: int


class EmbedPipeline(TextPipeline[EmbedOptions, PromptedRows]):
    """Embeddings of texts.

    A text gives (dim,) float32, a list of texts (texts, dim) float32. Pooling, dense layers, normalisation, prompts and
    the limit of tokens are those of the folder's sentence-transformers files; a folder without them is pooled by mean,
    or by the last token for a causal model. Longer texts are cut to the limit, as sentence-transformers does, and how
    many were is logged. :meth:`encode` takes sentence-transformers' arguments.
    """

    model_task = "feature-extraction"
    options_type = EmbedOptions
    output_names = ("last_hidden_state", "token_embeddings", "sentence_embedding")
    default_truncation = "warn"

    def __init__(self, model: Model, tokenizer: Tokenizer, task: str, options: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, task, options)
        architectures = model.config.get("architectures") or [""]
        is_causal = str(architectures[0]).endswith("ForCausalLM") and model.config.get("is_causal", True)
        self.recipe = read_recipe(model.artifact.folder, "lasttoken" if is_causal else "mean")
        limits = [limit for limit in (self.limit, self.recipe.max_seq_length) if limit is not None]
        self.limit = min(limits) if limits else None
        self.runner.output_names = self.runner.output_names[:1]
        ranks = {spec.name: spec.rank for spec in model.session.outputs}
        # Some exporters put pooling and what follows into the graph, whose output is then (batch, dim).
        self._graph_pools = ranks[self.runner.output_names[0]] == 2

    def prepare(self, window: Window, options: EmbedOptions, cuts: CutLog) -> PromptedRows:
        """Tokenize the texts of a window behind their prompt."""
        texts = plain_texts(window.items, window.name)
        prompt = self.recipe.prompt(options.prompt, options.prompt_name)
        if prompt:
            texts = [prompt + text for text in texts]
        rows = encode_rows(
            self.tokenizer, [self._cased(text) for text in texts], self.policy(options), cuts, window.name
        )
        return PromptedRows(rows, 0 if self.recipe.include_prompt else self._num_prompt_tokens(prompt))

    def complete(self, prepared: PromptedRows, options: EmbedOptions, progress: Progress) -> Any:
        """Embedding of each text: (texts, dim) float32."""
        gathered: FloatArray | None = None
        for batch, (states, *_) in self.runner.run(prepared.rows, options, progress):
            pooled = self._pooled(batch, states, prepared.num_prompt_tokens)
            if len(prepared.rows) == 1:
                gathered = pooled.astype(np.float32, copy=False)
                break
            if gathered is None:
                gathered = np.empty((len(prepared.rows), pooled.shape[-1]), dtype=np.float32)
            gathered[batch.indices] = pooled
        embeddings = np.empty((0, 0), dtype=np.float32) if gathered is None else gathered
        for step in () if self._graph_pools else self.recipe.steps:
            embeddings = step(embeddings)
        truncate_dim = self.recipe.truncate_dim if options.truncate_dim is None else options.truncate_dim
        embeddings = embeddings[:, :truncate_dim]
        return unit_length(embeddings) if options.normalize_embeddings else embeddings

    def join(self, results: list[Sequence[Any]]) -> FloatArray:
        """The embeddings of all windows: (texts, dim) float32."""
        if not results:
            return np.empty((0, self.embedding_dimension), dtype=np.float32)
        return np.asarray(results[0]) if len(results) == 1 else np.concatenate(results)

    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        **options: Any,
    ) -> FloatArray:
        """Embeddings, called as ``SentenceTransformer.encode`` is.

        Args:
            inputs: a text, or a list of texts.
            prompt_name: name of one of the model's prompts.
            prompt: text put before every input.
            batch_size: most texts that run at once; None cuts batches by tokens, which is faster.
            show_progress_bar: a bar on stderr; None shows one on a terminal for work over a second.
            convert_to_numpy: must be True; there are no tensors here.
            convert_to_tensor: must be False.
            normalize_embeddings: scale embeddings to length one.
            truncate_dim: dimensions to keep.
            options: further options of the pipeline.

        Returns:
            (texts, dim) float32, or (dim,) for a single text.
        """
        if not convert_to_numpy or convert_to_tensor:
            raise OptionError("Embeddings are numpy arrays here; leave convert_to_numpy and convert_to_tensor out.")
        given = {
            "prompt_name": prompt_name,
            "prompt": prompt,
            "batch_size": batch_size,
            "show_progress": show_progress_bar,
            "normalize_embeddings": normalize_embeddings or None,
            "truncate_dim": truncate_dim,
        }
        result: FloatArray = self(inputs, **{k: value for k, value in given.items() if value is not None}, **options)
        return result

    def encode_query(self, inputs: Any, **options: Any) -> FloatArray:
        """Embeddings of search queries: :meth:`encode` under the model's ``query`` prompt, where it has one."""
        return self.encode(inputs, **self._prompted(("query",), options))

    def encode_document(self, inputs: Any, **options: Any) -> FloatArray:
        """Embeddings of documents: :meth:`encode` under the model's document prompt, where it has one."""
        return self.encode(inputs, **self._prompted(("document", "passage", "corpus"), options))

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> FloatArray:
        """How alike embeddings are, by the measure the model names (cosine unless it says otherwise).

        Args:
            embeddings1: (n, dim) or (dim,).
            embeddings2: (m, dim) or (dim,).

        Returns:
            (n, m) float; larger is more alike.
        """
        if self.recipe.similarity not in SIMILARITIES:
            raise OptionError(
                f"The model names the similarity {self.recipe.similarity!r}; known are {', '.join(SIMILARITIES)}."
            )
        return SIMILARITIES[self.recipe.similarity](embeddings1, embeddings2)

    @cached_property
    def embedding_dimension(self) -> int:
        """Numbers in an embedding."""
        return int(self.run_single("a", replace(self.options, show_progress=False)).shape[-1])

    def _pooled(self, batch: PaddedBatch, states: Array, num_prompt_tokens: int) -> FloatArray:
        if self._graph_pools:
            return states
        return pool(states, batch.attention_mask, self.recipe.pooling_modes, num_prompt_tokens)

    def _cased(self, text: str) -> str:
        # Character by character, as the tokenizers library lowers case, without Python's special final sigma.
        return "".join(character.lower() for character in text) if self.recipe.do_lower_case else text

    def _num_prompt_tokens(self, prompt: str) -> int:
        """Tokens that a prompt takes at the start of a row, the special ones before it counted."""
        if not prompt:
            return 0
        ids = self.tokenizer(prompt, verbose=False)["input_ids"]
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def _prompted(self, names: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
        if options.get("prompt") is not None or options.get("prompt_name") is not None:
            return options
        known = next((name for name in names if name in self.recipe.prompts), None)
        return {**options, "prompt_name": known}
