"""An artifact opened under a setup, ready to be timed: heads, language models and encoder-decoders."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact, TensorSpec
from ..batch_runs import has_independent_rows
from ..generation.causal_lm import AutoModelForCausalLM
from ..generation.seq2seq import AutoModelForSeq2SeqLM
from ..huge_pages import collapse
from ..model import Model
from ..models import model_class_of
from ..session import Session, SessionOptions
from .setup import Setup
from .shapes import Shape, array_feeds, token_rows
from .timing import SPINNING_S, Contestant, sample

Array = NDArray[Any]

TIMED_STEPS = 8
"""Steps of a language model that are timed in one sample."""

_MOST_ANSWER_VALUES = 1 << 19
# The first run of a shape finds out which memory it takes, and the second one takes it.
_RUNS_BEFORE_MOVE = 3


class Bench(Contestant, Protocol):
    """A setup that can be timed and asked."""

    def answers(self, case: int) -> list[Array]:
        """What it answers, as float32 arrays; large ones thinned out."""


@dataclass(frozen=True)
class Graph:
    """Inputs and outputs of a graph."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Workload:
    """What every setup is timed on.

    Args:
        artifact: the artifact.
        model_class: the class that loads it.
        shapes: one case each.
        inputs: what the model is called with in each case.
        graph: inputs and outputs of the graph that takes them.
        num_new_tokens: tokens that a language model writes in a call.
    """

    artifact: Artifact
    model_class: type[Model]
    shapes: tuple[Shape, ...]
    inputs: tuple[Mapping[str, Any], ...]
    graph: Graph
    num_new_tokens: int = 64

    @property
    def cases(self) -> range:
        """Numbers of the cases."""
        return range(len(self.shapes))

    @property
    def is_decoder(self) -> bool:
        """Whether it writes token by token."""
        return issubclass(self.model_class, AutoModelForCausalLM | AutoModelForSeq2SeqLM)

    @property
    def components(self) -> tuple[str, ...]:
        """The graphs it consists of."""
        is_seq2seq = issubclass(self.model_class, AutoModelForSeq2SeqLM)
        return ("encoder_model", "decoder_model") if is_seq2seq else ("model",)

    @property
    def takes_two_precisions(self) -> bool:
        """Whether prompts and steps may run in different precisions, on one cache."""
        names = {spec.name for spec in self.graph.inputs}
        return issubclass(self.model_class, AutoModelForCausalLM) and "seqlens_k" in names

    @property
    def has_independent_rows(self) -> bool:
        """Whether rows of a batch can run by themselves."""
        return not self.is_decoder and has_independent_rows(self.graph.inputs, self.graph.outputs)

    def open(self, setup: Setup) -> Bench:
        """The artifact under a setup.

        Raises:
            HeadwayError: it does not load that way.
        """
        options = setup.session_options(cache=False)
        model = self.model_class.from_artifact(self.artifact, setup.dtype, None, options)
        if isinstance(model, AutoModelForCausalLM):
            return DecoderBench(model, self.inputs, self.num_new_tokens)
        if isinstance(model, AutoModelForSeq2SeqLM):
            return Seq2SeqBench(model, self.inputs, self.num_new_tokens)
        return HeadBench(model, self.inputs)


def make_workload(
    artifact: Artifact, task: str, shapes: Sequence[Shape], text: str | None = None, num_new_tokens: int = 64
) -> Workload:
    """Inputs of the named shapes for an artifact.

    Args:
        text: lines of text the inputs are made of; None takes a built-in passage.
        num_new_tokens: tokens that a language model writes after each prompt.
    """
    model_class = model_class_of(task, artifact)
    graph = _graph(artifact, model_class)
    inputs = [_inputs(artifact, graph.inputs, shape, text) for shape in shapes]
    return Workload(artifact, model_class, tuple(shapes), tuple(inputs), graph, num_new_tokens)


def takes_text(artifact: Artifact, task: str) -> bool:
    """Whether the model reads token ids."""
    return any(spec.name == "input_ids" for spec in _graph(artifact, model_class_of(task, artifact)).inputs)


class HeadBench:
    """A head: one run of its graph a call."""

    def __init__(self, model: Model, inputs: Sequence[Mapping[str, Any]]) -> None:
        self._run = model.session.run
        self._feeds = [model.prepare_feeds(one) for one in inputs]
        # What is timed is how it runs after a while: sessions opened earlier have had their memory moved.
        for feeds in self._feeds * _RUNS_BEFORE_MOVE:
            self._run(feeds)
        collapse()

    def seconds(self, case: int) -> float:
        """Seconds of one run."""
        return sample(lambda: self._run(self._feeds[case]))

    def answers(self, case: int) -> list[Array]:
        """All outputs that are numbers with a fraction."""
        return [thinned(output) for output in self._run(self._feeds[case]) if output.dtype.kind == "f"]


class DecoderBench:
    """A language model: the prompts' prefill and the steps after it, timed apart."""

    def __init__(self, model: AutoModelForCausalLM, inputs: Sequence[Mapping[str, Any]], num_new_tokens: int) -> None:
        self._decoder: Any = model.decoder
        self._prompts = [list(one["input_ids"]) for one in inputs]
        self._num_new_tokens = num_new_tokens

    def seconds(self, case: int) -> float:
        """Seconds of the prefill and all new tokens, from the prefill and a few of them."""
        prefill_s, step_s = self.parts(case)
        return prefill_s + self._num_new_tokens * step_s

    def parts(self, case: int) -> tuple[float, float]:
        """Seconds of the prefill, and of one step."""
        prompts = self._prompts[case]
        cache = self._decoder.new_cache(len(prompts), len(prompts[0]) + TIMED_STEPS + 1)
        time.sleep(SPINNING_S)
        began = time.perf_counter()
        scores = self._decoder.extend(cache, prompts)
        prefilled = time.perf_counter()
        # The first step binds its arrays.
        scores = self._decoder.decode(cache, scores.argmax(-1))
        began_steps = time.perf_counter()
        for _ in range(TIMED_STEPS):
            scores = self._decoder.decode(cache, scores.argmax(-1))
        return prefilled - began, (time.perf_counter() - began_steps) / TIMED_STEPS

    def answers(self, case: int) -> list[Array]:
        """Logits after each token: of the prompts together, and of their last tokens in steps."""
        prompts = self._prompts[case]
        starts = [prompt[:-TIMED_STEPS] if len(prompt) > TIMED_STEPS else prompt[:1] for prompt in prompts]
        cache = self._decoder.new_cache(len(prompts), len(prompts[0]) + 1)
        logits = [np.array(row) for row in self._decoder.score(cache, starts)]
        steps = np.array(prompts)[:, len(starts[0]) :].T
        logits += [np.array(self._decoder.decode(cache, np.ascontiguousarray(tokens))) for tokens in steps]
        return [np.concatenate([thinned(one) for one in logits])]


class Seq2SeqBench:
    """An encoder-decoder: greedy generation of a number of tokens."""

    def __init__(self, model: AutoModelForSeq2SeqLM, inputs: Sequence[Mapping[str, Any]], num_new_tokens: int) -> None:
        self._model = model
        self._inputs = inputs
        self._num_new_tokens = num_new_tokens

    def seconds(self, case: int) -> float:
        """Seconds of encoding and all new tokens, from a few of them and from one."""
        one, some = self._generation_s(case, 1), self._generation_s(case, 1 + TIMED_STEPS)
        return one + max(some - one, 0.0) / TIMED_STEPS * (self._num_new_tokens - 1)

    def answers(self, case: int) -> list[Array]:
        """Logits of the first token, given the start token alone."""
        inputs = self._inputs[case]
        rows = len(next(iter(inputs.values())))
        start = int(self._model.config.get("decoder_start_token_id") or 0)
        output: Any = self._model(**inputs, decoder_input_ids=np.full((rows, 1), start))
        return [thinned(output["logits"])]

    def _generation_s(self, case: int, num_tokens: int) -> float:
        options: dict[str, Any] = {"max_new_tokens": num_tokens, "min_new_tokens": num_tokens, **self._inputs[case]}
        time.sleep(SPINNING_S)
        began = time.perf_counter()
        self._model.generate(**options, num_beams=1, do_sample=False)
        return time.perf_counter() - began


def thinned(array: Array) -> Array:
    """Float32 values of an output, every n-th of a very large one: (values,)."""
    values = array.reshape(-1)
    return values[:: 1 + values.size // _MOST_ANSWER_VALUES].astype(np.float32)


def _graph(artifact: Artifact, model_class: type[Model]) -> Graph:
    """The graph that takes the caller's inputs: from the manifest, or from the file."""
    component = "encoder_model" if issubclass(model_class, AutoModelForSeq2SeqLM) else "model"
    if artifact.manifest is not None:
        variant = artifact.manifest.variants[artifact.chosen_dtype()]
        if component in variant.components:
            described = variant.components[component]
            return Graph(described.inputs, described.outputs)
    session = Session(artifact.model_file(component), artifact.folder, SessionOptions(device="cpu", cache=False))
    return Graph(session.inputs, session.outputs)


def _inputs(artifact: Artifact, specs: Sequence[TensorSpec], shape: Shape, text: str | None) -> Mapping[str, Any]:
    if not any(spec.name == "input_ids" for spec in specs):
        return array_feeds(specs, shape, artifact)
    ids = token_rows(artifact, shape, text)
    beside = {spec.name: spec for spec in specs if spec.dtype.startswith("float") and "past" not in spec.name}
    if any(spec.name == "input_ids" and spec.rank == 3 for spec in specs):
        ids = np.repeat(ids[:, None], 2, axis=1)  # (batch, choices, sequence)
    return {"input_ids": ids, **array_feeds(list(beside.values()), shape, artifact)}
