"""Which inputs a model takes: found out by running it, since a signature does not say what matters."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .input_kinds import INPUT_KINDS, NOT_INPUTS
from .inputs import InputBuilder, longest_input
from .tasks import Task


def input_builder(
    model: PreTrainedModel, task: Task, tokenizer: Any | None, *, encoder_only: bool = False
) -> InputBuilder:
    """An input builder that fits the model: the inputs it needs, and those that its outputs depend on.

    Args:
        encoder_only: leave the decoder's own input out.

    Raises:
        ExportError: the model runs on none of the inputs Headway can make, or gives other results each time.
    """
    accepted = [name for name in INPUT_KINDS if name in _parameters(model)]
    builder = _first_runnable(model, _ids_builder(model, task, tokenizer), accepted)
    kept = [name for name in builder.names if INPUT_KINDS[name].on_demand or _matters(model, builder, name)]
    if encoder_only and "decoder_input_ids" in kept:
        kept.remove("decoder_input_ids")
    return replace(builder, names=("input_ids", *(name for name in kept if name != "input_ids")))


def left_out_inputs(model: PreTrainedModel, builder: InputBuilder) -> tuple[str, ...]:
    """Arguments of the model's forward that would change its outputs and that the graph does not take."""
    ignored = NOT_INPUTS | INPUT_KINDS.keys()
    return tuple(name for name in _parameters(model) if name not in ignored and not name.startswith(("output_", "_")))


def default_values(model: PreTrainedModel, builder: InputBuilder) -> dict[str, int]:
    """Input → the number that fills it where a caller leaves it out, for those where that equals leaving it out."""
    example = builder.trace_example()
    defaults = {}
    for name in builder.names:
        absent = INPUT_KINDS[name].absent
        if absent is None:
            continue
        filled = {**example, name: torch.full_like(example[name], absent(builder.config))}
        without = {key: value for key, value in example.items() if key != name}
        one, other = _try_run(model, filled), _try_run(model, without)
        if one is not None and other is not None and _equal(one, other):
            defaults[name] = absent(builder.config)
    return defaults


def _ids_builder(model: PreTrainedModel, task: Task, tokenizer: Any | None) -> InputBuilder:
    config = model.config.get_text_config()
    vocab_size = int(getattr(config, "vocab_size", 0) or len(tokenizer or ()) or 256)
    return InputBuilder(
        task=task,
        config=config,
        names=("input_ids",),
        vocab_size=vocab_size,
        max_length=longest_input(model),
        pad_token_id=_first_int(getattr(config, "pad_token_id", None), getattr(tokenizer, "pad_token_id", None), 0),
        special_ids=_special_ids(config, tokenizer),
        final_id=_first_int(getattr(config, "eos_token_id", None), None) if config.is_encoder_decoder else None,
    )


def _first_runnable(model: PreTrainedModel, builder: InputBuilder, accepted: list[str]) -> InputBuilder:
    """The builder with the most inputs among those that the model runs with, on-demand ones last."""
    error: Exception | None = None
    for names in _name_choices(accepted):
        candidate = replace(builder, names=names)
        try:
            _run(model, candidate.trace_example())
        except Exception as failure:
            # The model's own code judges its inputs, in its own ways.
            error = error or failure
        else:
            return candidate
    raise ExportError(
        f"{type(model).__name__} does not run on text alone ({type(error).__name__}: {error}). "
        f"Inputs Headway makes are {', '.join(INPUT_KINDS)}."
    )


def _name_choices(accepted: list[str]) -> Iterator[tuple[str, ...]]:
    optional = [name for name in accepted if not INPUT_KINDS[name].on_demand]
    mask = [name for name in accepted if name in ("input_ids", "attention_mask")]
    seen = set()
    for names in (optional, accepted, mask, [*mask, *(name for name in accepted if name not in optional)]):
        ordered = ("input_ids", *(name for name in INPUT_KINDS if name in names and name != "input_ids"))
        if ordered not in seen:
            seen.add(ordered)
            yield ordered


def _matters(model: PreTrainedModel, builder: InputBuilder, name: str) -> bool:
    """Whether the outputs change when the input says nothing, which decides whether the graph declares it."""
    absent = INPUT_KINDS[name].absent
    if absent is None:
        return True
    example = builder.trace_example()
    neutral = {**example, name: torch.full_like(example[name], absent(builder.config))}
    one, other = _try_run(model, example), _try_run(model, neutral)
    return one is None or other is None or not _equal(one, other)


def _run(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        result = model(**inputs, return_dict=True)
    return {name: value for name, value in result.items() if isinstance(value, torch.Tensor)}


def _try_run(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    try:
        return _run(model, inputs)
    except Exception:
        # Whatever the model's own code raises, it means that it does not take these inputs.
        return None


def _equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items() if name in other)


def _parameters(model: PreTrainedModel) -> tuple[str, ...]:
    return tuple(inspect.signature(model.forward).parameters)


def _special_ids(config: Any, tokenizer: Any | None) -> frozenset[int]:
    names = [name for name in vars(config) if name.endswith(("_token_id", "_token_index"))]
    values = [getattr(config, name, None) for name in names]
    ids = {index for value in values for index in (value if isinstance(value, list) else [value])}
    return frozenset(
        {index for index in ids if isinstance(index, int)} | set(getattr(tokenizer, "all_special_ids", None) or ())
    )


def _first_int(*values: Any) -> Any:
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)
