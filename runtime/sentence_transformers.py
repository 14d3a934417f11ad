"""What a sentence-transformers folder says about turning token vectors into embeddings.

Source of the format: sentence-transformers 6.2 (``modules.json``, ``sentence_bert_config.json``, ``1_Pooling``,
``2_Dense``, ``2_Normalize``, ``config_sentence_transformers.json``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .artifact import read_json
from .errors import (
    ArtifactNotFoundError,
    CorruptArtifactError,
    OptionError,
    UnsafeArtifactError,
    UnsupportedFormatError,
)
from .numerics import sigmoid
from .pooling import POOLING
from .safetensors_file import read_safetensors

FloatArray = NDArray[Any]
VectorStep = Callable[[FloatArray], FloatArray]

_POOLING_FLAGS: Mapping[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Modules that do nothing when a model runs.
_IDLE_MODULES = ("Dropout",)
_TRANSFORMER_CONFIGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
_LEAST_LENGTH = 1e-12


def _relu(values: FloatArray) -> FloatArray:
    positive: FloatArray = np.maximum(values, 0)
    return positive


def _gelu(values: FloatArray) -> FloatArray:
    halves = np.vectorize(math.erf, otypes=[np.float64])(values / np.sqrt(2.0))
    scaled: FloatArray = (values * (1.0 + halves) / 2.0).astype(values.dtype)
    return scaled


ACTIVATIONS: Mapping[str, VectorStep] = {
    "Identity": lambda values: values,
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
    "ReLU": _relu,
    "GELU": _gelu,
    "SiLU": lambda values: values * sigmoid(values),
}
"""Name of PyTorch's activation module → the same in numpy."""


@dataclass(frozen=True)
class EmbeddingRecipe:
    """How token vectors become an embedding.

    Args:
        pooling_modes: keys of :data:`~headway.runtime.pooling.POOLING`; several are put side by side.
        include_prompt: whether the prompt's tokens are pooled too.
        steps: what happens to the pooled vectors (batch, hidden), in order.
        max_seq_length: most tokens of a text; None takes the model's limit.
        do_lower_case: lower the text's case first.
        prompts: name → text put before the input.
        default_prompt_name: the prompt used where none is asked for.
        similarity: ``"cosine"``, ``"dot"``, ``"euclidean"`` or ``"manhattan"``.
        truncate_dim: dimensions to keep; None keeps all.
        activation: name of the function on a cross-encoder's logits; None where the folder names none.
    """

    pooling_modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    steps: tuple[VectorStep, ...] = ()
    max_seq_length: int | None = None
    do_lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str = "cosine"
    truncate_dim: int | None = None
    activation: str | None = None

    def prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        """Text to put before inputs.

        Raises:
            OptionError: there is no prompt of that name.
        """
        if prompt is not None:
            return prompt
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        if name is None:
            return ""
        if name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise OptionError(f"prompt_name is {name!r}; the model has the prompts: {known}.")
        return self.prompts[name]


def read_recipe(folder: Path, default_pooling: str = "mean") -> EmbeddingRecipe:
    """Read what a folder says; one without ``modules.json`` is pooled by ``default_pooling``.

    Raises:
        CorruptArtifactError: a file is not what its name says.
        UnsupportedFormatError: the folder has a module that is not known here.
        UnsafeArtifactError: a module's weights are pickled.
    """
    config = _config(folder / "config_sentence_transformers.json")
    modules_file = folder / "modules.json"
    modes: tuple[str, ...] = (default_pooling,)
    include_prompt = True
    steps: list[VectorStep] = []
    transformer: Mapping[str, Any] = _transformer_config(folder)
    for module in _modules(modules_file):
        kind, path = _module(module, modules_file, folder)
        if kind == "Transformer":
            transformer = _transformer_config(path)
        elif kind == "Pooling":
            modes, include_prompt = _pooling(path / "config.json")
        elif kind in _STEPS:
            steps.append(_STEPS[kind](path))
        elif kind not in _IDLE_MODULES:
            known = ", ".join(("Transformer", "Pooling", *_STEPS, *_IDLE_MODULES))
            raise UnsupportedFormatError(f"{modules_file} has a module of kind {kind}; known are {known}.")
    return EmbeddingRecipe(
        pooling_modes=modes,
        include_prompt=include_prompt,
        steps=tuple(steps),
        max_seq_length=transformer.get("max_seq_length"),
        do_lower_case=bool(transformer.get("do_lower_case", False)),
        prompts={name: text or "" for name, text in (config.get("prompts") or {}).items()},
        default_prompt_name=config.get("default_prompt_name"),
        similarity=config.get("similarity_fn_name") or "cosine",
        truncate_dim=config.get("truncate_dim"),
        activation=config.get("activation_fn"),
    )


def activation_function(path: str, origin: str) -> VectorStep:
    """The activation that a dotted name such as ``torch.nn.modules.activation.Tanh`` stands for.

    Raises:
        UnsupportedFormatError: it is not known here; arbitrary code is never imported.
    """
    name = path.rsplit(".", 1)[-1]
    if not path.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise UnsupportedFormatError(
            f"{origin} names the activation {path!r}; known are torch.nn's {', '.join(ACTIVATIONS)}."
        )
    return ACTIVATIONS[name]


def unit_length(vectors: FloatArray) -> FloatArray:
    """Vectors (…, dim) scaled to length one; source: ``torch.nn.functional.normalize``."""
    lengths = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))[..., None]
    scaled: FloatArray = vectors / np.maximum(lengths, _LEAST_LENGTH)
    return scaled


def _normalize(path: Path) -> VectorStep:
    return unit_length


def _dense(path: Path) -> VectorStep:
    """A linear layer with an activation, and a residual connection where its config has one."""
    config = _config(path / "config.json")
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise UnsupportedFormatError(f"{path} works on {config[key]!r}; only 'sentence_embedding' is known here.")
    weights = _weights(path)
    activation = activation_function(config.get("activation_function", "torch.nn.modules.activation.Tanh"), str(path))
    try:
        weight = weights["linear.weight"].T  # (in_features, out_features)
    except KeyError as error:
        raise CorruptArtifactError(f"{path} has no linear.weight among its weights. Fetch it again.") from error
    bias = weights.get("linear.bias", np.zeros(weight.shape[1], dtype=weight.dtype))
    residual = weights.get("residual.weight")
    has_residual = bool(config.get("use_residual", False))

    def apply(vectors: FloatArray) -> FloatArray:
        projected = activation(vectors @ weight + bias)
        if not has_residual:
            return projected
        return projected + (vectors if residual is None else vectors @ residual.T)

    return apply


_STEPS: Mapping[str, Callable[[Path], VectorStep]] = {"Dense": _dense, "Normalize": _normalize}


def _weights(path: Path) -> dict[str, FloatArray]:
    safe = path / "model.safetensors"
    if safe.is_file():
        return read_safetensors(safe)
    if (path / "pytorch_model.bin").is_file():
        raise UnsafeArtifactError(
            f"{path} has pickled weights, which can run code. Save the model with sentence-transformers 3 or later,"
            " which writes model.safetensors, and export it again."
        )
    raise ArtifactNotFoundError(f"{path} has no model.safetensors. Export the model again.")


def _modules(path: Path) -> list[Any]:
    if not path.is_file():
        return []
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"{path} is not readable JSON: {error}. Copy or export it again.") from error
    if not isinstance(modules, list):
        raise CorruptArtifactError(f"{path} holds a JSON {type(modules).__name__}; a list of modules was expected.")
    return modules


def _module(module: Any, origin: Path, folder: Path) -> tuple[str, Path]:
    """Kind and folder of an entry of modules.json."""
    try:
        kind, path = str(module["type"]).rsplit(".", 1)[-1], folder / str(module["path"])
    except (KeyError, TypeError) as error:
        raise CorruptArtifactError(f"{origin} has an entry without type and path: {module!r}.") from error
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UnsafeArtifactError(f"{origin} names {module['path']!r}, outside {folder}.")
    return kind, path


def _pooling(path: Path) -> tuple[tuple[str, ...], bool]:
    config = read_json(path) if path.is_file() else {}
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    names = (modes,) if isinstance(modes, str) else tuple(modes)
    unknown = [name for name in names if name not in POOLING]
    if unknown:
        raise UnsupportedFormatError(f"{path} pools by {', '.join(unknown)}; known are {', '.join(POOLING)}.")
    return names, bool(config.get("include_prompt", True))


def _transformer_config(path: Path) -> Mapping[str, Any]:
    files: Sequence[Path] = [path / name for name in _TRANSFORMER_CONFIGS]
    return next((read_json(file) for file in files if file.is_file()), {})


def _config(path: Path) -> Mapping[str, Any]:
    return read_json(path) if path.is_file() else {}
