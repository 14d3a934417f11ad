"""A traced program to an ONNX graph, without torch's second trace where every operator already has a translation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import onnx_ir
import torch

from .functionalize import functionalize
from .local_decomposition import decompose_operators
from .operators import ONNX_OPSET


def convert_program(
    program: torch.export.ExportedProgram,
    inputs: Mapping[str, Any],
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> onnx_ir.Model:
    """Translate operator by operator; weights stay the tensors of the model, nothing is folded or copied.

    Args:
        program: from ``torch.export.export``.
        inputs: what it was traced with.
        input_names: names of the graph's inputs, nested ones flattened.
        output_names: names of the graph's outputs.
    """
    with _without_needless_decomposition(), _cached_registry():
        onnx_program = torch.onnx.export(
            program,
            (),
            kwargs=dict(inputs),
            input_names=list(input_names),
            output_names=list(output_names),
            opset_version=ONNX_OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    if onnx_program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return onnx_program.model


@contextmanager
def _without_needless_decomposition() -> Iterator[None]:
    """Skip decomposition where it would change nothing: it traces the whole model again, the costliest step of all.

    torch offers no option for it, so the step itself is wrapped; a torch that is laid out differently decomposes.
    """
    try:
        from torch.onnx._internal.exporter import _decomp, _fx_passes

        original = _fx_passes.decompose_with_registry
        implemented_overloads = _decomp.get_onnx_implemented_overloads
    except (ImportError, AttributeError):
        yield
        return

    def decompose(program: torch.export.ExportedProgram, registry: Any) -> torch.export.ExportedProgram:
        implemented = set(implemented_overloads(registry))
        _simplify(program, _REPLACEMENTS)
        _without_opaque_operators(program, implemented)
        _rename_outputs(program)
        if _opaque_operators(program, implemented):
            return original(program, registry)
        _forget_layouts(program)
        _rename_outputs(program)
        return program

    _fx_passes.decompose_with_registry = decompose
    try:
        yield
    finally:
        _fx_passes.decompose_with_registry = original


@contextmanager
def _cached_registry() -> Iterator[None]:
    """Read torch's table of translations once in a process: reading it takes as long as translating a small model."""
    try:
        from torch.onnx._internal.exporter import _registration

        registry_class = _registration.ONNXRegistry
        original = registry_class.__dict__["from_torchlib"]
    except (ImportError, AttributeError, KeyError):
        yield
        return

    def from_torchlib(cls: Any, *args: Any, **kwargs: Any) -> Any:
        key = (*args, *sorted(kwargs.items()))
        if key not in _registries:
            _registries[key] = original.__func__(cls, *args, **kwargs)
        return _registries[key]

    registry_class.from_torchlib = classmethod(from_torchlib)
    try:
        yield
    finally:
        registry_class.from_torchlib = original


_registries: dict[Any, Any] = {}
Replacement = Callable[[torch.fx.Graph, torch.fx.Node], torch.fx.Node | None]


def _simplify(program: torch.export.ExportedProgram, replacements: Mapping[Any, Replacement]) -> None:
    """Take out what is dead or does nothing, so that it forces no decomposition."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in _ASSERTIONS:
            graph.erase_node(node)
    for node in list(graph.nodes):
        replace = replacements.get(node.target) if node.op == "call_function" else None
        replacement = replace(graph, node) if replace else None
        if replacement is not None:
            node.replace_all_uses_with(replacement)
            graph.erase_node(node)
    _drop_dead_code(program)


def _drop_dead_code(program: torch.export.ExportedProgram) -> None:
    # torch's own clean-up stumbles over some symbolic sizes; what it leaves is dropped from the ONNX graph.
    with suppress(SystemError, KeyError):
        program.graph.eliminate_dead_code()
    program.graph_module.recompile()


def _forget_layouts(program: torch.export.ExportedProgram) -> None:
    """Drop copies that only change a layout, and views that rely on one: torch propagates values once more."""
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target in _RESHAPES:
            node.target = torch.ops.aten.reshape.default
            node.args = (node.args[0], _told_sizes(node))
    _simplify(program, _LAYOUT_REPLACEMENTS)


def _told_sizes(node: torch.fx.Node) -> list[Any]:
    """A reshape's sizes, a number for "what remains" where that is always the same: of no rows nothing remains."""
    told: Any = node.args[1]
    sizes = zip(told, node.meta["val"].shape, strict=True)
    return [size if told_size == -1 and isinstance(size, int) else told_size for told_size, size in sizes]


def _rename_outputs(program: torch.export.ExportedProgram) -> None:
    """Tell the program's signature, which knows outputs by the names of their nodes, which nodes they are now."""
    output = next(node for node in program.graph.nodes if node.op == "output")
    for spec, node in zip(program.graph_signature.output_specs, output.args[0], strict=True):
        if isinstance(node, torch.fx.Node):
            spec.arg.name = node.name


def _source(graph: torch.fx.Graph, node: torch.fx.Node) -> torch.fx.Node:
    """The node's input, for operators that hand it on: devices and memory layouts mean nothing in ONNX."""
    return node.all_input_nodes[0]


def _conversion(graph: torch.fx.Graph, node: torch.fx.Node) -> torch.fx.Node | None:
    """The node's input where it has the dtype already, else a conversion that has a translation."""
    source = node.all_input_nodes[0]
    before, after = source.meta["val"].dtype, node.meta["val"].dtype
    if before == after:
        return source
    with graph.inserting_before(node):
        converted = graph.call_function(torch.ops.aten._to_copy.default, (source,), {"dtype": after})
    converted.meta.update(node.meta)
    return converted


def _reversed_subtraction(graph: torch.fx.Graph, node: torch.fx.Node) -> torch.fx.Node | None:
    """Number - tensor as -tensor + number: a number has no place as the first operand."""
    if len(node.args) != 2 or node.kwargs:
        return None
    with graph.inserting_before(node):
        negated = graph.call_function(torch.ops.aten.neg.default, (node.args[0],))
        added = graph.call_function(torch.ops.aten.add.Tensor, (negated, node.args[1]))
    negated.meta.update(node.args[0].meta)
    added.meta.update(node.meta)
    return added


def _reshape(graph: torch.fx.Graph, node: torch.fx.Node) -> torch.fx.Node:
    """The view as a reshape, which asks for no layout."""
    with graph.inserting_before(node):
        reshaped = graph.call_function(torch.ops.aten.reshape.default, node.args, node.kwargs)
    reshaped.meta.update(node.meta)
    return reshaped


_RESHAPES = frozenset({torch.ops.aten.view.default, torch.ops.aten.reshape.default})
_ASSERTIONS = frozenset({torch.ops.aten._assert_tensor_metadata.default, torch.ops.aten._assert_scalar.default})
_REPLACEMENTS: Mapping[Any, Replacement] = {
    torch.ops.aten.alias.default: _source,
    torch.ops.aten.detach.default: _source,
    torch.ops.aten.dropout.default: _source,
    torch.ops.aten.rsub.Scalar: _reversed_subtraction,
    torch.ops.aten.to.device: _conversion,
    torch.ops.aten.to.dtype: _conversion,
    torch.ops.aten.to.dtype_layout: _conversion,
    torch.ops.aten.type_as.default: _conversion,
}
# Last of all: views need their layouts where anything is traced again.
_LAYOUT_REPLACEMENTS: Mapping[Any, Replacement] = {
    torch.ops.aten.clone.default: _source,
    torch.ops.aten.contiguous.default: _source,
    torch.ops.aten.view.default: _reshape,
}


def _without_opaque_operators(program: torch.export.ExportedProgram, implemented: set[Any]) -> None:
    """Rewrite what writes in place and take apart what has no translation, as far as that goes node by node."""
    for _ in range(_MAX_DEPTH):
        functionalize(program.graph)
        opaque = _opaque_operators(program, implemented)
        if not opaque:
            break
        decompose_operators(program.graph, opaque)
    _drop_dead_code(program)


# Operators made of operators that are made of others again.
_MAX_DEPTH = 3


def _opaque_operators(program: torch.export.ExportedProgram, implemented: set[Any]) -> set[Any]:
    """Operators without a translation of their own, and those that write in place."""
    modules = [module for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    targets = {node.target for module in modules for node in module.graph.nodes if node.op == "call_function"}
    overloads = [target for target in targets if isinstance(target, torch._ops.OpOverload)]
    return {target for target in overloads if _is_opaque(target, implemented)}


def _is_opaque(operator: torch._ops.OpOverload, implemented: set[Any]) -> bool:
    if operator.namespace == "onnx_symbolic":
        return False
    return operator._schema.is_mutable or (operator not in implemented and operator not in _LAYOUT_REPLACEMENTS)
