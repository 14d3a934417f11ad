"""In-place operators of a traced program rewritten as what they compute, where it is plain which values they change.

torch does this for any program by tracing it once more, which is the costliest step of a conversion and fails where a
layout cannot be told for dynamic sizes. Nearly all in-place writes in models are simple: into a fresh tensor, or into a
slice of one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch

aten = torch.ops.aten

# View → the operator that gives its source with the view's values replaced.
_SCATTERS: Mapping[Any, Any] = {
    aten.slice.Tensor: aten.slice_scatter.default,
    aten.select.int: aten.select_scatter.default,
}


def functionalize(graph: torch.fx.Graph) -> None:
    """Rewrite the in-place operators that can be; others stay as they are."""
    for node in list(graph.nodes):
        if _is_in_place(node):
            _rewrite(graph, node)


def _is_in_place(node: torch.fx.Node) -> bool:
    return (
        node.op == "call_function"
        and isinstance(node.target, torch._ops.OpOverload)
        and node.target.namespace == "aten"
        and node.target._schema.is_mutable
    )


def _rewrite(graph: torch.fx.Graph, node: torch.fx.Node) -> None:
    target = node.args[0]
    chain = _view_chain(target)
    compute = _out_of_place(node.target)
    if chain is None or compute is None or not _safe(node, chain):
        return
    with graph.inserting_before(node):
        value = compute(graph, node)
        _copy_meta(value, node.target, target)
        replaced = [(target, value)]
        # The views are written back into what they show, from the innermost out.
        for view in chain[:-1]:
            source = view.args[0]
            scatter = _SCATTERS[view.target]
            value = graph.call_function(scatter, (source, value, *view.args[1:]), dict(view.kwargs))
            _copy_meta(value, scatter, source)
            replaced.append((source, value))
    position = {other: index for index, other in enumerate(graph.nodes)}
    for old, new in replaced:
        _replace_later_uses(old, new, position, position[node])
    node.replace_all_uses_with(replaced[0][1])
    graph.erase_node(node)


def _replace_later_uses(
    old: torch.fx.Node, new: torch.fx.Node, position: Mapping[torch.fx.Node, int], after: int
) -> None:
    old.replace_all_uses_with(new, delete_user_cb=lambda user: position[user] > after)


def _view_chain(target: Any) -> list[torch.fx.Node] | None:
    """The written value and what it is a view of, up to a tensor of its own; None where that cannot be told."""
    chain = [target]
    while chain[-1].target in _SCATTERS:
        chain.append(chain[-1].args[0])
    base = chain[-1]
    return chain if base.op == "call_function" and not _may_be_view(base) else None


def _may_be_view(node: torch.fx.Node) -> bool:
    """Whether the result may share memory with an input."""
    if node.target is operator.getitem:
        return _may_be_view(node.args[0])
    if not isinstance(node.target, torch._ops.OpOverload):
        return True
    if node.target._schema.is_mutable:
        return True
    if node.target in _SOMETIMES_VIEWS:
        return True
    return any(value.alias_info is not None for value in node.target._schema.returns)


_SOMETIMES_VIEWS = frozenset(
    {aten.contiguous.default, aten.reshape.default, aten.to.dtype, aten.to.device, aten.to.dtype_layout}
    | {aten.type_as.default, aten.flatten.using_ints, aten.expand_as.default, aten.reshape_as.default, aten.to.other}
)


def _safe(node: torch.fx.Node, chain: list[torch.fx.Node]) -> bool:
    """Whether no other view of the written tensor is read after the write."""
    position = {other: index for index, other in enumerate(node.graph.nodes)}
    pending = [view for member in chain for view in _views_of(member) if view not in chain and view is not node]
    seen = set(pending)
    while pending:
        view = pending.pop()
        if position[view] > position[node]:
            continue
        if any(position[user] > position[node] for user in view.users):
            return False
        pending += [other for other in _views_of(view) if other not in seen]
        seen.update(pending)
    return True


def _views_of(node: torch.fx.Node) -> list[torch.fx.Node]:
    return [user for user in node.users if user.args and user.args[0] is node and _may_be_view(user)]


def _out_of_place(target: Any) -> Callable[[torch.fx.Graph, torch.fx.Node], torch.fx.Node] | None:
    if target in _WRITES:
        return _WRITES[target]
    packet = getattr(aten, target._schema.name.removeprefix("aten::").removesuffix("_"), None)
    overload = getattr(packet, target._overloadname, None)
    if overload is None or not target._schema.name.endswith("_"):
        return None
    return lambda graph, node: graph.call_function(overload, node.args, dict(node.kwargs))


def _copied(graph: torch.fx.Graph, node: torch.fx.Node) -> torch.fx.Node:
    target, source = node.args[0], node.args[1]
    if source.meta["val"].shape != target.meta["val"].shape:
        source = graph.call_function(aten.expand_as.default, (source, target))
        _copy_meta(source, aten.expand_as.default, target)
        source.meta["val"] = target.meta["val"].to(node.args[1].meta["val"].dtype)
    if source.meta["val"].dtype == target.meta["val"].dtype:
        return graph.call_function(aten.clone.default, (source,))
    return graph.call_function(aten._to_copy.default, (source,), {"dtype": target.meta["val"].dtype})


def _source(graph: torch.fx.Graph, node: torch.fx.Node) -> torch.fx.Node:
    return graph.call_function(aten.clone.default, (node.args[0],))


_WRITES: Mapping[Any, Callable[[torch.fx.Graph, torch.fx.Node], torch.fx.Node]] = {
    aten.copy_.default: _copied,
    aten.detach_.default: _source,
}


def _copy_meta(node: torch.fx.Node, target: Any, like: torch.fx.Node) -> None:
    node.meta.update({key: value for key, value in like.meta.items() if key != "nn_module_stack"})
    node.meta["torch_fn"] = (str(target), str(target))
