"""What a folder says of its decoder graphs that the graphs themselves leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..artifact import Artifact, TensorSpec
from ..bfloat16 import BFLOAT16
from ..configuration import Config
from ..errors import UnsupportedFormatError
from ..session import Session


@dataclass(frozen=True)
class GraphFacts:
    """Names and sizes that stand in for what a graph does not declare.

    Args:
        tensor_names: the field's name of an input or output → the graph's own, where they differ.
        num_heads: attention heads.
        num_key_value_heads: heads of keys and values.
        head_dim: channels per head.
        vocab_size: entries of the vocabulary.
        sliding_window: tokens that a layer with a window looks back on.
    """

    tensor_names: Mapping[str, str] = field(default_factory=dict)
    num_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int | None = None
    sliding_window: int | None = None

    @classmethod
    def of(cls, artifact: Artifact) -> GraphFacts:
        """What an artifact's configuration says; nothing for a graph that Headway wrote, which declares it all."""
        if artifact.layout is None:
            return cls()
        config = text_config(artifact)
        num_heads, hidden_size = _count(config, "num_attention_heads"), _count(config, "hidden_size")
        head_dim = _count(config, "head_dim") or (hidden_size // num_heads if num_heads and hidden_size else None)
        return cls(
            tensor_names=artifact.layout.tensor_names,
            num_heads=num_heads,
            num_key_value_heads=_count(config, "num_key_value_heads") or num_heads,
            head_dim=head_dim,
            vocab_size=_count(config, "vocab_size"),
            sliding_window=_count(config, "sliding_window"),
        )

    def own_name(self, name: str) -> str:
        """What the graph calls the input or output that the field calls ``name``."""
        return self.tensor_names.get(name, name)

    def field_name(self, own_name: str) -> str:
        """What the field calls the input or output that the graph calls ``own_name``."""
        return next((name for name, own in self.tensor_names.items() if own == own_name), own_name)

    def cache_spec(self, spec: TensorSpec) -> TensorSpec:
        """A cache input with the sizes of its heads filled in; the axis of tokens stays open.

        Axes are (batch, heads, tokens, head_dim); the builder of onnxruntime-genai leaves the last open, and
        transformers' exporter writes numbers as names.

        Raises:
            UnsupportedFormatError: the cache is in bfloat16.
        """
        if spec.dtype == BFLOAT16:
            raise UnsupportedFormatError(
                f"The cache input {spec.name} {list(spec.shape)} is in bfloat16, which numpy has no arrays of. Export "
                "the model in float32 or float16."
            )
        shape: list[str | int] = [int(axis) if str(axis).isdecimal() else axis for axis in spec.shape]
        sizes = {1: self.num_key_value_heads, 3: self.head_dim} if spec.rank == 4 else {}
        for axis, size in sizes.items():
            if not isinstance(shape[axis], int) and size is not None and _num_open(shape) > 1:
                shape[axis] = size
        return replace(spec, shape=tuple(shape))

    def vocab_size_of(self, session: Session) -> int:
        """Entries of the vocabulary, from the graph's logits or the configuration.

        Raises:
            UnsupportedFormatError: the graph gives no logits, or neither says how many.
        """
        logits = next((spec for spec in session.outputs if spec.name == self.own_name("logits")), None)
        size = logits.shape[-1] if logits is not None and logits.rank == 3 else None
        size = size if isinstance(size, int) else self.vocab_size
        if logits is None or size is None:
            outputs = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in session.outputs[:4])
            raise UnsupportedFormatError(
                f"{session.path} gives {outputs}; logits (batch, tokens, vocabulary) are needed, of a size that the "
                "graph or config.json says. Export the checkpoint with `headway export`."
            )
        return size


def text_config(artifact: Artifact) -> Config:
    """The configuration of a folder's language model, which may be a part of a larger model."""
    values = artifact.config.get("text_config")
    return Config({**artifact.config, **values} if isinstance(values, Mapping) else artifact.config)


def _count(config: Config, name: str) -> int | None:
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _num_open(shape: list[str | int]) -> int:
    return sum(not isinstance(axis, int) for axis in shape[1:])
