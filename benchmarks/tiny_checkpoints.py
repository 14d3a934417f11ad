"""Tiny random checkpoints of any architecture that transformers registers, for tests and the coverage run.

A default configuration is shrunk by the names of its attributes; a small table holds the architectures whose sizes
depend on each other in their own way. Weights are drawn large enough that every part of the model shows in its output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.pytorch_utils import Conv1D

from .tiny_media_sizes import MEDIA_EXCEPTIONS
from .tiny_multimodal_sizes import MULTIMODAL_EXCEPTIONS
from .tiny_sizes import EXCEPTIONS, LAYER_LISTS, NUM_HEADS, NUM_LAYERS, SIZES, TOKEN_ID_SUFFIXES, VOCAB_SIZE, LayerTypes

NUM_LABELS = 3
# Heads whose number of labels is part of the task.
_TWO_LABELS = ("AutoModelForQuestionAnswering", "AutoModelForNextSentencePrediction", "AutoModelForMultipleChoice")


def tiny_config(model_type: str, auto_class: str = "AutoModel") -> PretrainedConfig:
    """A configuration with two layers and a hidden size of 32, for a model type and a head.

    Args:
        model_type: a key of transformers' ``CONFIG_MAPPING``.
        auto_class: the class that will load it; classifiers get three labels.
    """
    config = CONFIG_MAPPING[model_type]()
    values = _shrunk(config, model_type)
    if auto_class == "AutoModelForCausalLM":
        # Encoders with a language model's head look ahead unless told not to.
        values |= {name: True for name in ("is_decoder", "causal") if hasattr(config, name)}
    if auto_class == "AutoModelForTextEncoding" and config.is_encoder_decoder:
        values["is_encoder_decoder"] = False
    if auto_class not in _TWO_LABELS:
        values["num_labels"] = NUM_LABELS
    return CONFIG_MAPPING[model_type](**values)


def tiny_model(model_type: str, auto_class: str = "AutoModel", seed: int = 0) -> PreTrainedModel:
    """A tiny model with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    loader, config = getattr(transformers, auto_class), tiny_config(model_type, auto_class)
    choices = loader._model_mapping[type(config)]
    if isinstance(choices, (list, tuple)):
        # Several classes share a config, such as Funnel with and without a decoder: the first is the usual one.
        config.architectures = [choices[0].__name__]
    model = loader.from_config(config)
    spread_weights(model, seed)
    return model.eval()


def tiny_checkpoint(folder: Path, model_type: str, auto_class: str = "AutoModel", seed: int = 0) -> Path:
    """Write a tiny checkpoint as transformers does, without a tokenizer."""
    model, config = tiny_model(model_type, auto_class, seed), tiny_config(model_type, auto_class)
    model.save_pretrained(folder)
    if model.config.model_type != config.model_type:
        # The text model alone of a model of several inputs, whose checkpoint says what all of it is.
        config.save_pretrained(folder)
    return folder


@torch.no_grad()
def spread_weights(model: torch.nn.Module, seed: int = 0) -> None:
    """Redraw weights and biases: a fresh model's are so small that wrong attention would hardly show."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, Conv1D, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)):
            fan_in = module.weight[0].numel() if not isinstance(module, Conv1D) else module.weight.shape[0]
            module.weight.normal_(0.0, 1 / math.sqrt(fan_in), generator=generator)
            if getattr(module, "bias", None) is not None:
                module.bias.normal_(0.0, 0.1, generator=generator)
        elif isinstance(module, torch.nn.Embedding):
            padding = module.weight[module.padding_idx].clone() if module.padding_idx is not None else None
            module.weight.normal_(0.0, 0.5, generator=generator)
            if padding is not None:
                module.weight[module.padding_idx] = padding
        elif isinstance(module, torch.nn.LayerNorm) and module.weight is not None:
            module.weight.normal_(1.0, 0.1, generator=generator)
            if module.bias is not None:
                module.bias.normal_(0.0, 0.1, generator=generator)
        else:
            _vary_constants(module, generator)
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)) and module.running_mean is not None:
            module.running_mean.normal_(0.0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)


def _vary_constants(module: torch.nn.Module, generator: torch.Generator) -> None:
    """Add noise to a module's own parameters that are all the same: equal gates would be chosen among at random."""
    for parameter in module.parameters(recurse=False):
        if parameter.is_floating_point() and parameter.numel() > 1 and (parameter == parameter.flatten()[0]).all():
            parameter.add_(torch.empty_like(parameter).normal_(0.0, 0.3, generator=generator))


def _shrunk(config: PretrainedConfig, model_type: str) -> dict[str, Any]:
    """Constructor arguments that make the configuration small."""
    attributes = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
    sub_configs = dict(_sub_configs(config))
    values: dict[str, Any] = {name: _shrunk_sub(sub) for name, sub in sub_configs.items()}
    num_layers = max(
        [NUM_LAYERS, *(LayerTypes.num_kinds(attributes[name]) for name in LAYER_LISTS & attributes.keys())]
    )
    for name, value in attributes.items():
        if name in sub_configs or name not in SIZES or value is None or isinstance(value, bool):
            continue
        size = SIZES[name]
        values[name] = size.of(value, num_layers) if isinstance(size, LayerTypes) else _smaller(value, size)
    if num_layers > NUM_LAYERS and "num_hidden_layers" in values:
        values["num_hidden_layers"] = num_layers
    if "kv_lora_rank" in values and "num_key_value_heads" in values:
        # Latent attention has keys for every head.
        values["num_key_value_heads"] = NUM_HEADS
    values |= _small_token_ids(attributes, int(values.get("vocab_size", VOCAB_SIZE)))
    for table in (EXCEPTIONS, MEDIA_EXCEPTIONS, MULTIMODAL_EXCEPTIONS):
        values = _merged(values, table.get(model_type, {}))
    return values


def _shrunk_sub(config: PretrainedConfig) -> dict[str, Any]:
    values = _shrunk(config, config.model_type)
    # Some parents choose the class of a sub-config by its type.
    return {"model_type": config.model_type, **values} if config.model_type else values


def _sub_configs(config: PretrainedConfig) -> Iterator[tuple[str, PretrainedConfig]]:
    for name in getattr(config, "sub_configs", None) or {}:
        sub = getattr(config, name, None)
        if isinstance(sub, PretrainedConfig):
            yield name, sub


def _smaller(value: Any, size: Any) -> Any:
    if isinstance(size, int) and isinstance(value, int):
        return min(value, size) if value >= 0 else value
    # A list has a size for each stage, which go together.
    return value if isinstance(value, (list, tuple)) else size


def _small_token_ids(attributes: Mapping[str, Any], vocab_size: int) -> dict[str, int | list[int]]:
    """Special ids that fit the small vocabulary, each its own; a pad id even where the default has none."""
    names = [name for name in attributes if name.endswith(TOKEN_ID_SUFFIXES)]
    given = {name: attributes[name] for name in names if isinstance(attributes[name], int)}
    given |= {name: attributes[name][0] for name in names if isinstance(attributes[name], list) and attributes[name]}
    taken = {value for value in given.values() if value < vocab_size}
    free = iter(index for index in range(vocab_size - 1, 0, -1) if index not in taken)
    moved: dict[int, int] = {}

    def moved_id(value: int) -> int:
        return moved[value] if value in moved else moved.setdefault(value, next(free))

    ids: dict[str, int | list[int]] = {}
    for name, value in given.items():
        is_list = isinstance(attributes[name], list)
        if is_list and name.endswith("_ids"):
            ids[name] = [moved_id(value) for value in attributes[name]]
        elif is_list or value >= vocab_size:
            ids[name] = moved_id(value)
    if attributes.get("pad_token_id") is None:
        ids["pad_token_id"] = next(free)
    return ids


def _merged(values: dict[str, Any], exceptions: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in exceptions.items():
        if isinstance(value, Mapping) and isinstance(values.get(name), dict):
            values[name] = _merged(values[name], value)
        elif value is None:
            values.pop(name, None)
        else:
            values[name] = value
    return values
