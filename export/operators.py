"""ONNX Runtime operators written into a traced PyTorch graph, one function each.

Inside ``torch.export`` each call becomes a single node of the ONNX graph. Called with ordinary tensors the functions
return zeros of the right shape: they describe a graph, they do not compute.

Operator schemas: onnxruntime ``docs/ContribOperators.md``.
"""

import torch

CONTRIB_OPSET = 1
ONNX_OPSET = 20


def group_query_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    past_key: torch.Tensor,
    past_value: torch.Tensor,
    seqlens_k: torch.Tensor,
    total_sequence_length: torch.Tensor,
    *,
    scale: float,
    local_window_size: int | None = None,
    softcap: float | None = None,
    head_sink: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Write ``com.microsoft::GroupQueryAttention``: causal attention that appends to a key and value buffer.

    Args:
        query: (batch, heads, seq, head_dim) float.
        key: (batch, kv_heads, seq, head_dim) float; ``value`` alike.
        past_key: (batch, kv_heads, buffer, head_dim) float; ``past_value`` alike.
        seqlens_k: (batch,) int32, each row's total length less one.
        total_sequence_length: () int32, the longest row's total length.
        scale: factor on query · key.
        local_window_size: how many latest positions a token sees, itself included; None for all.
        softcap: scores become ``softcap * tanh(scores / softcap)``; None for no cap.
        head_sink: (heads,) float, one extra logit per head in the softmax's denominator.

    Returns:
        The attention output (batch, seq, heads, head_dim) and the two updated buffers.
    """
    batch, heads, seq, head_dim = query.shape
    # (batch, seq, heads * head_dim)
    packed = [states.transpose(1, 2).reshape(batch, seq, -1) for states in (query, key, value)]
    attributes: dict[str, int | float] = {"num_heads": heads, "kv_num_heads": key.shape[1], "scale": float(scale)}
    if local_window_size is not None:
        attributes["local_window_size"] = int(local_window_size)
    if softcap:
        attributes["softcap"] = float(softcap)
    inputs = [*packed, past_key, past_value, seqlens_k, total_sequence_length]
    if head_sink is not None:
        inputs += [None, None, None, None, head_sink]
    output, present_key, present_value = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention",
        inputs,
        attributes,
        dtypes=(query.dtype,) * 3,
        shapes=((batch, seq, heads * head_dim), past_key.shape, past_value.shape),
        version=CONTRIB_OPSET,
    )
    return output.view(batch, seq, heads, head_dim), present_key, present_value


def rotary_embedding(
    states: torch.Tensor,
    position_ids: torch.Tensor,
    cos_cache: torch.Tensor,
    sin_cache: torch.Tensor,
    *,
    interleaved: bool,
) -> torch.Tensor:
    """Write ``com.microsoft::RotaryEmbedding``, rotating the first ``2 * cos_cache.shape[1]`` channels of each head.

    Args:
        states: (batch, heads, seq, head_dim) float.
        position_ids: (batch, seq) int64.
        cos_cache: (max_positions, rotary_dim / 2) float; ``sin_cache`` alike.
        interleaved: pairs are neighbours (2i, 2i+1) rather than halves (i, i + rotary_dim / 2).
    """
    attributes = {"interleaved": int(interleaved)}
    rotary_dim = 2 * cos_cache.shape[1]
    if rotary_dim != states.shape[-1]:
        attributes |= {"num_heads": states.shape[1], "rotary_embedding_dim": rotary_dim}
    return torch.onnx.ops.symbolic(
        "com.microsoft::RotaryEmbedding",
        (states, position_ids, cos_cache, sin_cache),
        attributes,
        dtype=states.dtype,
        shape=states.shape,
        version=CONTRIB_OPSET,
    )


def rms_norm(hidden_states: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Write ``SimplifiedLayerNormalization``: RMSNorm over the last axis, computed in float32."""
    return torch.onnx.ops.symbolic(
        "SimplifiedLayerNormalization",
        (hidden_states, weight),
        {"axis": -1, "epsilon": float(epsilon), "stash_type": 1},
        dtype=hidden_states.dtype,
        shape=hidden_states.shape,
        version=CONTRIB_OPSET,
    )


def gather_positions(hidden_states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Write ``GatherND`` with one batch axis: each row's chosen positions.

    Args:
        hidden_states: (batch, seq, hidden) float.
        positions: (batch, num_positions) int64, indices into seq.

    Returns:
        (batch, num_positions, hidden) float.
    """
    return torch.onnx.ops.symbolic(
        "GatherND",
        (hidden_states, positions.unsqueeze(-1)),
        {"batch_dims": 1},
        dtype=hidden_states.dtype,
        shape=(*positions.shape, hidden_states.shape[-1]),
        version=ONNX_OPSET,
    )


# Not operators of any runtime: rearrangements of weights, replaced by stored weights before the graph is written.
WEIGHT_DOMAIN = "headway.weights"


def rearranged_weight(weight: torch.Tensor, rearrangement: str) -> torch.Tensor:
    """Stand for a weight that is stored in another order; see :mod:`.fusions.rearranged_weight` for the orders.

    Args:
        weight: (experts, rows, columns) float, or a bias (experts, rows).
        rearrangement: ``"interleaved_halves"`` (rows 0, n/2, 1, n/2 + 1, …) keeps the shape; ``"swapped_axes"`` gives
            (experts, columns, rows).
    """
    shape = weight.transpose(1, 2).shape if rearrangement == "swapped_axes" else weight.shape
    return torch.onnx.ops.symbolic(
        f"{WEIGHT_DOMAIN}::{rearrangement}", (weight,), {}, dtype=weight.dtype, shape=shape, version=CONTRIB_OPSET
    )


def mixture_of_experts(
    hidden_states: torch.Tensor,
    router_probs: torch.Tensor,
    up_weights: torch.Tensor,
    up_biases: torch.Tensor | None,
    down_weights: torch.Tensor,
    down_biases: torch.Tensor | None,
    *,
    num_selected: int,
    activation_alpha: float = 1.0,
    activation_beta: float = 0.0,
    swiglu_limit: float | None = None,
) -> torch.Tensor:
    """Write ``com.microsoft::MoE`` with SwiGLU: ``down(g * sigmoid(alpha * g) * (l + beta))`` of the selected experts.

    Args:
        hidden_states: (tokens, hidden) float.
        router_probs: (tokens, experts) float; the operator takes their softmax and the ``num_selected`` largest.
        up_weights: (experts, 2 * inner, hidden) float, rows of g and l interleaved; ``up_biases`` (experts, 2 * inner).
        down_weights: (experts, hidden, inner) float; ``down_biases`` (experts, hidden).
    """
    attributes: dict[str, int | float | str] = {
        "k": num_selected,
        "activation_type": "swiglu",
        "swiglu_fusion": 1,
        "normalize_routing_weights": 0,
        "activation_alpha": activation_alpha,
        "activation_beta": activation_beta,
    }
    if swiglu_limit is not None:
        attributes["swiglu_limit"] = swiglu_limit
    return torch.onnx.ops.symbolic(
        "com.microsoft::MoE",
        (hidden_states, router_probs, up_weights, up_biases, down_weights, down_biases),
        attributes,
        dtype=hidden_states.dtype,
        shape=hidden_states.shape,
        version=CONTRIB_OPSET,
    )
