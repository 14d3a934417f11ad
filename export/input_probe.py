"""Which inputs a model takes: found out by running it, since a signature does not say what matters."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .audio_inputs import AudioInputs, probe_audio_inputs
from .audio_text_inputs import AudioTextInputs, audio_beside_texts
from .image_inputs import ImageInputs, image_inputs_of, probe_image_inputs
from .image_text_inputs import ImageTextInputs
from .input_kinds import INPUT_KINDS, NOT_INPUTS
from .inputs import MAX_VERIFIED_LENGTH, InputBuilder, Inputs, longest_input
from .patch_inputs import PatchInputs
from .tasks import Task
from .trial_run import failure_of, outputs_of


@dataclass(frozen=True)
class ProbedInputs:
    """What running a model has shown.

    Args:
        builder: makes the inputs that the graph takes.
        defaults: input → the number that fills it where a caller leaves it out.
        left_out: arguments of the model's forward that could change its outputs and that the graph does not take.
    """

    builder: Inputs
    defaults: Mapping[str, int]
    left_out: tuple[str, ...]


def main_input_of(model: PreTrainedModel) -> str:
    """The input that everything else goes with: text, image or audio, as the model says and its forward takes."""
    parameters = inspect.signature(model.forward).parameters
    said = getattr(model, "main_input_name", "input_ids")
    known = ("input_ids", "pixel_values", "pixel_values_videos", "input_values", "input_features")
    return next((name for name in (said, *known) if name in parameters and name in known), said)


def probe_inputs(model: PreTrainedModel, task: Task, tokenizer: Any | None) -> ProbedInputs:
    """Find the inputs that the model needs and those that its outputs depend on.

    An optional input for which no number means the same as leaving it out is taken only where the tokenizer gives it.

    Raises:
        ExportError: the model runs on none of the inputs Headway can make.
    """
    main_input = main_input_of(model)
    image_input = _image_input_of(model)
    audio_input = _audio_input_of(model)
    if "input_ids" in inspect.signature(model.forward).parameters:
        if image_input:
            return _probe_texts_and_images(model, task, tokenizer, image_input)
        if audio_input and main_input == "input_ids":
            return _probe_texts_and_audio(model, task, tokenizer, audio_input)
    if main_input == image_input:
        images = PatchInputs.of(model.config) if _takes_patches(model) else probe_image_inputs(model, main_input)
        return ProbedInputs(images, {}, ())
    if main_input in ("input_values", "input_features"):
        return _probe_audio(model, main_input)
    return ProbedInputs(*_text_inputs(model, task, tokenizer))


def _image_input_of(model: PreTrainedModel) -> str | None:
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in ("pixel_values", "pixel_values_videos") if name in parameters), None)


def _audio_input_of(model: PreTrainedModel) -> str | None:
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in ("input_values", "input_features") if name in parameters), None)


def _takes_patches(model: PreTrainedModel) -> bool:
    return "spatial_shapes" in inspect.signature(model.forward).parameters


def _probe_texts_and_images(model: PreTrainedModel, task: Task, tokenizer: Any | None, name: str) -> ProbedInputs:
    """Texts alone where the model runs on them, unless images are what the task is about; else both."""
    errors: list[ExportError] = []
    if task.name != "zero-shot-image-classification":
        try:
            return ProbedInputs(*_text_inputs(model, task, tokenizer))
        except ExportError as failure:
            errors.append(failure)
    images = PatchInputs.of(model.config) if _takes_patches(model) else image_inputs_of(model.config, name)
    for is_paired in (False, True):
        try:
            return ProbedInputs(*_text_inputs(model, task, tokenizer, images, is_paired))
        except ExportError as failure:
            errors.append(failure)
    raise errors[0]


def _probe_texts_and_audio(model: PreTrainedModel, task: Task, tokenizer: Any | None, name: str) -> ProbedInputs:
    """Texts alone where the model runs on them; else both."""
    try:
        return ProbedInputs(*_text_inputs(model, task, tokenizer))
    except ExportError as failure:
        error = failure
    for audio in audio_beside_texts(model, name):
        try:
            return ProbedInputs(*_text_inputs(model, task, tokenizer, audio))
        except ExportError:
            continue
    raise error


def _probe_audio(model: PreTrainedModel, main_input: str) -> ProbedInputs:
    builder = probe_audio_inputs(model, main_input)
    parameters = inspect.signature(model.forward).parameters
    if "attention_mask" not in parameters or builder.layout.time_axis is None:
        return ProbedInputs(builder, {}, ())
    masked = replace(builder, names=(*builder.names, "attention_mask"))
    usage = _usage(model, masked, "attention_mask")
    if usage is Usage.IGNORED:
        return ProbedInputs(builder, {}, ())
    return ProbedInputs(masked, {"attention_mask": 1} if usage is Usage.DEFAULT else {}, ())


def _text_inputs(
    model: PreTrainedModel,
    task: Task,
    tokenizer: Any | None,
    beside: ImageInputs | PatchInputs | AudioInputs | None = None,
    is_paired: bool = False,
) -> tuple[InputBuilder, dict[str, int], tuple[str, ...]]:
    parameters = tuple(inspect.signature(model.forward).parameters)
    accepted = [name for name in INPUT_KINDS if name in parameters]
    texts = _ids_builder(model, task, tokenizer)
    start = texts
    if isinstance(beside, AudioInputs):
        start = AudioTextInputs.of(texts, beside)
    elif beside is not None:
        start = ImageTextInputs.of(texts, beside, is_paired)
    builder = _within_limit(model, _first_runnable(model, start, accepted))
    tokenizer_names = getattr(tokenizer, "model_input_names", ())
    names, defaults, left_out = ["input_ids"], {}, []
    for name in builder.names[1:]:
        usage = _usage(model, builder, name)
        if usage is Usage.IGNORED:
            continue
        if usage is Usage.NO_DEFAULT and name not in ("attention_mask", *tokenizer_names):
            left_out.append(name)
            continue
        names.append(name)
        if usage is Usage.DEFAULT:
            defaults[name] = INPUT_KINDS[name].absent_value(builder.config)
    known = NOT_INPUTS | INPUT_KINDS.keys() | builder.axes().keys()
    left_out += [name for name in parameters if name not in known and not name.startswith(("output_", "_"))]
    return replace(builder, names=tuple(names)), defaults, tuple(left_out)


def encoder_input_builder(model: PreTrainedModel, task: Task, tokenizer: Any | None) -> InputBuilder:
    """An input builder for the encoder of an encoder-decoder.

    Raises:
        ExportError: the model runs on none of the inputs Headway can make.
    """
    builder, _, _ = _text_inputs(model, task, tokenizer)
    return replace(builder, names=tuple(name for name in builder.names if not name.startswith("decoder_")))


class Usage(Enum):
    """How a model uses an input."""

    IGNORED = "its outputs do not depend on it"
    REQUIRED = "it does not run without it"
    DEFAULT = "leaving it out is the same as filling it with a number"
    NO_DEFAULT = "leaving it out is like no number"


def _usage(model: PreTrainedModel, builder: InputBuilder | AudioInputs, name: str) -> Usage:
    example = builder.trace_example()
    absent = INPUT_KINDS[name].absent
    without = _try_run(model, {key: value for key, value in example.items() if key != name})
    if absent is None or without is None:
        return Usage.REQUIRED
    filled = _try_run(model, {**example, name: torch.full_like(example[name], absent(builder.config))})
    # Right padding hides nothing from a decoder's last token: only a hole at the start shows that a mask is read.
    given = _with_hole(example[name]) if name == "attention_mask" and "input_ids" in example else example[name]
    shown = _try_run(model, {**example, name: given})
    if filled is None or shown is None:
        return Usage.REQUIRED
    if _equal(filled, shown):
        return Usage.IGNORED if _equal(without, shown) else Usage.NO_DEFAULT
    return Usage.DEFAULT if _equal(filled, without) else Usage.NO_DEFAULT


def _with_hole(mask: torch.Tensor) -> torch.Tensor:
    holed = mask.clone()
    holed[..., 0] = 0
    return holed


def _ids_builder(model: PreTrainedModel, task: Task, tokenizer: Any | None) -> InputBuilder:
    config = model.config.get_text_config()
    vocab_size = _vocab_size(model, tokenizer)
    return InputBuilder(
        task=task,
        config=config,
        names=("input_ids",),
        vocab_size=vocab_size,
        max_length=longest_input(model),
        pad_token_id=_first_int(getattr(config, "pad_token_id", None), getattr(tokenizer, "pad_token_id", None), 0),
        special_ids=_special_ids(config, tokenizer),
        final_id=_first_int(getattr(config, "eos_token_id", None), None) if _looks_for_the_end(model) else None,
    )


def _vocab_size(model: PreTrainedModel, tokenizer: Any | None) -> int:
    """How many ids a text may hold: models of texts and other tokens count the others in their configuration."""
    said = int(getattr(model.config.get_text_config(), "vocab_size", 0) or len(tokenizer or ()))
    try:
        tables = [model.get_input_embeddings()]
    except NotImplementedError:
        # The first is that of what the model reads, unless the configuration knows better.
        tables = [] if said else [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    sizes = [table.num_embeddings for table in tables[:1] if isinstance(table, torch.nn.Embedding)]
    return min((number for number in (said, *sizes) if number), default=256)


def _looks_for_the_end(model: PreTrainedModel) -> bool:
    """Whether a text's vector is taken where its last id stands, as BART's and CLIP's is."""
    config = model.config.get_text_config()
    return config.is_encoder_decoder or any(hasattr(module, "eos_token_id") for module in model.modules())


def _first_runnable(model: PreTrainedModel, builder: InputBuilder, accepted: list[str]) -> InputBuilder:
    """The builder with the most inputs among those that the model runs with, on-demand ones last."""
    error: Exception | None = None
    for names in _name_choices(accepted):
        candidate = replace(builder, names=names)
        failure = failure_of(model, candidate.trace_example())
        if failure is None:
            return candidate
        error = error or failure
    raise ExportError(
        f"{type(model).__name__} does not run on what Headway makes ({type(error).__name__}: {error}). "
        f"Inputs made of text are {', '.join(INPUT_KINDS)}."
    )


def _within_limit(model: PreTrainedModel, builder: InputBuilder) -> InputBuilder:
    """The builder with a longest input that the model runs on: tables of positions may hold some that none has."""
    limit = builder.max_length
    if limit is None or limit > MAX_VERIFIED_LENGTH:
        return builder
    configured = getattr(builder.config, "max_position_embeddings", None)
    for length in (limit, configured, limit - 1, limit - 2):
        if isinstance(length, int) and 0 < length <= limit and failure_of(model, builder.build([length])) is None:
            return replace(builder, max_length=length)
    return builder


def _name_choices(accepted: list[str]) -> Iterator[tuple[str, ...]]:
    optional = [name for name in accepted if not INPUT_KINDS[name].on_demand]
    mask = [name for name in accepted if name in ("input_ids", "attention_mask")]
    seen = set()
    for names in (optional, accepted, mask, [*mask, *(name for name in accepted if name not in optional)]):
        ordered = ("input_ids", *(name for name in INPUT_KINDS if name in names and name != "input_ids"))
        if ordered not in seen:
            seen.add(ordered)
            yield ordered


def _try_run(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    try:
        return outputs_of(model, inputs)
    except Exception:
        # Whatever the model's own code raises, it means that it does not take these inputs.
        return None


def _equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items() if name in other)


def _special_ids(config: Any, tokenizer: Any | None) -> frozenset[int]:
    names = [name for name in vars(config) if name.endswith(("_token_id", "_token_index"))]
    values = [getattr(config, name, None) for name in names]
    ids = {index for value in values for index in (value if isinstance(value, list) else [value])}
    return frozenset(
        {index for index in ids if isinstance(index, int)} | set(getattr(tokenizer, "all_special_ids", None) or ())
    )


def _first_int(*values: Any) -> Any:
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)
