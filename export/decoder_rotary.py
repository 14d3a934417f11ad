"""Rotary position embedding as one operator, recognised by what the model's own functions compute.

A modeling file has a rotary module (position ids → cos, sin) and ``apply_rotary_pos_emb(q, k, cos, sin)``. Both are
tried on real positions; where together they rotate pairs of channels by tabulated angles, the pair becomes
``RotaryEmbedding`` over two tables. Anything else is left as the model wrote it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Any

import torch
from transformers import PreTrainedModel

from .operators import rotary_embedding

_APPLY = "apply_rotary_pos_emb"
_NUM_PROBED_POSITIONS = 7
_BUFFER_PREFIX = "rotary_table"

Angles = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class RotaryTables:
    """Cos and sin of every position, and how channels pair up.

    ``cos`` and ``sin`` are (max_positions, rotary_dim / 2) float32. Where ``switch_position`` is not 0 (longrope), that
    many rows for short sequences come first; a sequence that reaches it uses the rows after them.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    interleaved: bool
    switch_position: int = 0
    layer_type: str = ""

    def buffer_name(self, kind: str) -> str:
        """Name under which the module keeps ``cos`` or ``sin``."""
        return "_".join(filter(None, (_BUFFER_PREFIX, self.layer_type, kind)))


@contextmanager
def rotary_as_operator(model: PreTrainedModel, max_positions: int) -> Iterator[TracedRotary]:
    """Rotate through the operator inside the block."""
    traced = TracedRotary(model, max_positions)
    try:
        traced.install()
        yield traced
    finally:
        traced.restore()


class TracedRotary:
    """Patches rotary modules and apply functions of one model, and puts them back.

    Args:
        model: the model.
        max_positions: how many positions the tables hold.

    ``recognised`` names the rotary modules that became tables. ``sequence_lengths`` (batch,) int64, set while tracing,
    is how long each row will be: longrope chooses its angles by that. ``switch_position`` is the longest row that uses
    the first of two sets of angles; 0 where there is one set.
    """

    def __init__(self, model: PreTrainedModel, max_positions: int) -> None:
        self.model = model
        self.max_positions = max_positions
        self.recognised: set[str] = set()
        self.sequence_lengths: torch.Tensor | None = None
        self.switch_position = 0
        self._angles: dict[int, tuple[Angles, torch.Tensor, torch.nn.Module, RotaryTables]] = {}
        self._patched_modules: list[torch.nn.Module] = []
        self._patched_functions: list[tuple[ModuleType, Callable[..., Any]]] = []

    def install(self) -> None:
        """Recognise the model's rotary modules and patch them."""
        applies = _apply_functions(self.model)
        for name, module in list(self.model.named_modules()):
            if "RotaryEmbedding" in type(module).__name__:
                self._patch_module(name, module, [function for _, function in applies])
        if self.recognised:
            for python_module, function in applies:
                setattr(python_module, _APPLY, self._apply(function))
                self._patched_functions.append((python_module, function))

    def restore(self) -> None:
        """Put everything back."""
        for python_module, function in self._patched_functions:
            setattr(python_module, _APPLY, function)
        for module in self._patched_modules:
            del module.forward
            for name in [name for name in module._buffers if name.startswith(_BUFFER_PREFIX)]:
                del module._buffers[name]
                module._non_persistent_buffers_set.discard(name)

    def _patch_module(self, name: str, module: torch.nn.Module, applies: list[Callable[..., Any]]) -> None:
        original = inspect.unwrap(type(module).forward)
        known: dict[Any, RotaryTables | None] = {}

        def forward(hidden_states: torch.Tensor, position_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            result = original(module, hidden_states, position_ids, *args, **kwargs)
            key = (*args, *kwargs.values())
            tables = known.get(key)
            if tables is not None:
                self._angles[id(result[0])] = (result, self._table_rows(position_ids, tables), module, tables)
            return result

        for layer_type in _layer_types(module):
            arguments = _arguments(layer_type)
            tables = None
            with suppress(Exception):
                tables = _find_tables(module, arguments, applies, self.max_positions)
            known[arguments] = tables
            if tables is not None:
                _register_tables(module, tables)
                self.switch_position = max(self.switch_position, tables.switch_position)
                self.recognised.add(name if layer_type is None else f"{name} ({layer_type})")
        if any(known.values()):
            module.forward = forward
            self._patched_modules.append(module)

    def _table_rows(self, position_ids: torch.Tensor, tables: RotaryTables) -> torch.Tensor:
        """Which row of the tables each token uses, (batch, seq) int64."""
        if not tables.switch_position or self.sequence_lengths is None:
            return position_ids
        is_long = self.sequence_lengths[:, None] > tables.switch_position
        return torch.where(is_long, position_ids + tables.switch_position, position_ids)

    def _apply(self, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        def apply(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            query, key, cos = (bound.arguments.get(name) for name in ("q", "k", "cos"))
            known = self._angles.get(id(cos))
            if known is None or bound.arguments.get("unsqueeze_dim", 1) != 1 or query is None or key is None:
                return original(*args, **kwargs)
            _, rows, module, tables = known
            return tuple(_rotate(states, rows, module, tables) for states in (query, key))

        return apply


def _register_tables(module: torch.nn.Module, tables: RotaryTables) -> None:
    for kind in ("cos", "sin"):
        module.register_buffer(tables.buffer_name(kind), getattr(tables, kind), persistent=False)


def _rotate(states: torch.Tensor, rows: torch.Tensor, module: torch.nn.Module, tables: RotaryTables) -> torch.Tensor:
    cos, sin = (module._buffers[tables.buffer_name(kind)] for kind in ("cos", "sin"))
    return rotary_embedding(states, rows, cos, sin, interleaved=tables.interleaved)


def _layer_types(module: torch.nn.Module) -> list[str | None]:
    if "layer_type" not in inspect.signature(inspect.unwrap(type(module).forward)).parameters:
        return [None]
    rope_type = getattr(module, "rope_type", None)
    return list(rope_type) if isinstance(rope_type, dict) else [None]


def _apply_functions(model: PreTrainedModel) -> list[tuple[ModuleType, Callable[..., Any]]]:
    """``apply_rotary_pos_emb`` of every modeling file that the model's modules come from."""
    found: dict[str, tuple[ModuleType, Callable[..., Any]]] = {}
    for module in model.modules():
        python_module = sys.modules[type(module).__module__]
        function = getattr(python_module, _APPLY, None)
        if function is not None and {"q", "k", "cos", "sin"} <= set(inspect.signature(function).parameters):
            found[python_module.__name__] = (python_module, function)
    return list(found.values())


def _find_tables(
    module: torch.nn.Module, arguments: tuple[str, ...], applies: list[Callable[..., Any]], max_positions: int
) -> RotaryTables | None:
    cos, sin, switch_position = _all_angles(module, arguments, max_positions)
    rotary_dim = cos.shape[-1]
    samples = slice(1, 1 + _NUM_PROBED_POSITIONS)
    # Angles stand twice in a row of cos, side by side or one after the other, or once.
    layouts = (slice(0, rotary_dim // 2), slice(0, None, 2), slice(None))
    for interleaved, columns in product((False, True), layouts):
        halves = (cos[:, columns].contiguous(), sin[:, columns].contiguous())
        tables = RotaryTables(*halves, interleaved, switch_position, "".join(arguments))
        if applies and all(_agrees(apply, tables, cos[samples], sin[samples]) for apply in applies):
            return tables
    return None


def _all_angles(
    module: torch.nn.Module, arguments: tuple[str, ...], max_positions: int
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Cos and sin (positions, rotary_dim) of the module's own forward, for short and for long sequences."""
    angles = _angles(module, arguments, max_positions)
    switch_position = _switch_position(module, arguments)
    if not 0 < switch_position < max_positions:
        return *angles, 0
    short = _angles(module, arguments, switch_position)
    both = [torch.cat([few, all_positions]) for few, all_positions in zip(short, angles, strict=True)]
    return both[0], both[1], switch_position


def _angles(module: torch.nn.Module, arguments: tuple[str, ...], num_positions: int) -> Angles:
    with torch.no_grad():
        cos, sin = type(module).forward(module, torch.zeros(1), torch.arange(num_positions)[None], *arguments)
    return cos[0].float(), sin[0].float()


def rotary_switch_position(model: PreTrainedModel) -> int:
    """The longest row of a model that uses the first of two sets of angles (longrope); 0 where it has one set."""
    modules = [module for module in model.modules() if "RotaryEmbedding" in type(module).__name__]
    return max(
        (_switch_position(module, _arguments(kind)) for module in modules for kind in _layer_types(module)), default=0
    )


def _switch_position(module: torch.nn.Module, arguments: tuple[str, ...]) -> int:
    rope_type: Any = getattr(module, "rope_type", "default")
    parameters: Any = getattr(module.config, "rope_parameters", None)
    if arguments:
        rope_type, parameters = rope_type[arguments[0]], parameters[arguments[0]]
    return int(parameters["original_max_position_embeddings"]) if rope_type == "longrope" else 0


def _arguments(layer_type: str | None) -> tuple[str, ...]:
    return () if layer_type is None else (layer_type,)


def _agrees(apply: Callable[..., Any], tables: RotaryTables, cos: torch.Tensor, sin: torch.Tensor) -> bool:
    """Whether the model's function rotates like the operator does, on random heads."""
    generator = torch.Generator().manual_seed(0)
    head_dim = 2 * tables.cos.shape[1]
    states = torch.randn(1, 2, cos.shape[0], head_dim, generator=generator)
    try:
        rotated, _ = apply(states, states, cos[None], sin[None])
    except Exception:
        # A function with other shapes or arguments is not this rotation.
        return False
    positions = slice(1, 1 + cos.shape[0])
    expected = _rotated(states, tables.cos[positions], tables.sin[positions], tables.interleaved)
    return rotated.shape == expected.shape and torch.allclose(rotated, expected, rtol=1e-5, atol=1e-5)


def _rotated(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, interleaved: bool) -> torch.Tensor:
    """What ``RotaryEmbedding`` computes (onnxruntime docs/ContribOperators.md)."""
    if interleaved:
        first, second = states[..., ::2], states[..., 1::2]
        return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1).flatten(-2)
    first, second = states.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
