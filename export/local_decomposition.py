"""Operators that have no ONNX translation, replaced one by one by what they are made of."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx


def decompose_operators(graph: torch.fx.Graph, opaque: Collection[Any]) -> None:
    """Inline the parts of every call of the given operators; a call that cannot be taken apart stays.

    Args:
        graph: its nodes carry example values, as ``torch.export`` leaves them.
        opaque: operators without a translation.
    """
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in opaque and not node.target._schema.is_mutable:
            parts = _parts_of(node)
            if parts is not None:
                _inline(graph, node, parts)


def _parts_of(node: torch.fx.Node) -> torch.fx.Graph | None:
    """The call as a graph of smaller operators; None where it has none."""
    arguments = node.all_input_nodes

    def call(*values: Any) -> Any:
        by_node = dict(zip(arguments, values, strict=True))
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), by_node.__getitem__)
        return node.target(*args, **kwargs)

    examples = [argument.meta.get("val") for argument in arguments]
    fake_mode = next(
        (value.fake_mode for value in (*examples, node.meta.get("val")) if hasattr(value, "fake_mode")), None
    )
    if fake_mode is None or any(value is None for value in examples):
        return None
    try:
        with fake_mode, torch.no_grad():
            table = get_decompositions([node.target])
            graph = make_fx(call, decomposition_table=table, tracing_mode="real")(*examples).graph
    except Exception:
        # Meta functions raise what they like; torch's own decomposition gets its turn then.
        return None
    targets = [part.target for part in graph.nodes if part.op == "call_function"]
    has_constants = any(part.op == "get_attr" for part in graph.nodes)
    return None if has_constants or node.target in targets else graph


def _inline(graph: torch.fx.Graph, node: torch.fx.Node, parts: torch.fx.Graph) -> None:
    inputs = iter(node.all_input_nodes)
    copies: dict[torch.fx.Node, torch.fx.Node] = {}
    with graph.inserting_before(node):
        for part in parts.nodes:
            if part.op == "placeholder":
                copies[part] = next(inputs)
            elif part.op == "output":
                result = torch.fx.map_arg(part.args[0], copies.__getitem__)
            else:
                copies[part] = graph.node_copy(part, copies.__getitem__)
                copies[part].meta.setdefault("torch_fn", node.meta.get("torch_fn"))
    if isinstance(result, torch.fx.Node):
        node.replace_all_uses_with(result)
        graph.erase_node(node)
