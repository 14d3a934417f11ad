"""How much it matters, for each linear layer, what goes wrong at a token.

What a layer adds to the residual stream is normalised before anything reads it: the same error is small where the
stream is large, as it is, a thousandfold, at the first token of a text. And what attention reads of that first token
reaches every other, as all of them attend to it (https://arxiv.org/abs/2309.17453). With both SmolLM2-135M's perplexity
rises by 7.7, 8.6 and 13.0 % in q4 (documentation, questions, aphorisms), and by 8.4, 14.3 and 15.7 % without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir

from .linears import Floats, bias_addition, find_linears

# Weight of a text's first token, as a share of all its tokens' together.
_FIRST_TOKEN_SHARE = 0.1

_SKIP_NORMALISATIONS = ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
_SUM_OUTPUT = 3
_ATTENTION = "GroupQueryAttention"
# What lies between projections and attention.
_ON_THE_WAY = frozenset(
    {
        *("Add", "Concat", "Mul", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
        *("LayerNormalization", "RMSNormalization", "RotaryEmbedding", "SimplifiedLayerNormalization"),
    }
)
_LONGEST_WAY = 8


@dataclass(frozen=True)
class TokenWeights:
    """Weights of the tokens that one activation holds.

    Args:
        residual: name of the residual stream that the layer's result has been added to; None where there is none.
        is_attended: attention reads what the layer makes of it.
    """

    residual: str | None = None
    is_attended: bool = False

    @property
    def are_equal(self) -> bool:
        """Whether every token has the weight 1."""
        return self.residual is None and not self.is_attended

    def of_run(self, activations: Floats, values: Mapping[str, Floats]) -> Floats:
        """(…) float32, a weight for each token of (…, tokens, channels) activations.

        Args:
            values: of the same run, the residual stream among them.
        """
        weights = np.ones(activations.shape[:-1], dtype=np.float32)
        residual = None if self.residual is None else values.get(self.residual)
        if residual is not None and residual.shape[:-1] == weights.shape:
            weights = 1 / np.maximum(np.square(residual).mean(axis=-1), np.float32(1e-20))
            weights *= weights.size / weights.sum()
        if self.is_attended and weights.ndim > 1:
            weights[..., 0] += _FIRST_TOKEN_SHARE * activations.shape[-2]
        return weights


def token_weights(model: onnx_ir.Model) -> dict[str, TokenWeights]:
    """Activation's name → the weights of its tokens, of everything that goes into a linear layer."""
    found: dict[str, TokenWeights] = {}
    for linear in find_linears(model):
        addition, _ = bias_addition(linear)
        result = linear.node.outputs[0] if addition is None else addition.outputs[0]
        found[str(linear.activation.name)] = TokenWeights(_residual(result), _is_attended(result))
    return found


def _residual(result: onnx_ir.Value) -> str | None:
    """The sum of a layer's result and what came before it, in a model that normalises it next."""
    for node, _ in result.uses():
        if node.op_type in _SKIP_NORMALISATIONS and len(node.outputs) > _SUM_OUTPUT:
            return node.outputs[_SUM_OUTPUT].name or None
    return None


def _is_attended(result: onnx_ir.Value) -> bool:
    reached = {result}
    for _ in range(_LONGEST_WAY):
        users = {node for value in reached for node, _ in value.uses()}
        if any(node.op_type == _ATTENTION for node in users):
            return True
        reached = {value for node in users if node.op_type in _ON_THE_WAY for value in node.outputs}
    return False
