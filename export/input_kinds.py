"""What each input of a text model holds: a table of names, the random values to try it with, and its axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Rows:
    """Rows of random text that the other inputs go with.

    Args:
        config: the text model's configuration.
        input_ids: (rows, width) int64, right-padded.
        attention_mask: (rows, width) int64.
        lengths: (rows,) int64.
        generator: source of further random values.
    """

    config: Any
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    lengths: torch.Tensor
    generator: torch.Generator

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and width."""
        return self.input_ids.shape[0], self.input_ids.shape[1]

    def integers(self, below: int, *shape: int) -> torch.Tensor:
        """Random int64 values from 0 up to ``below``."""
        return torch.randint(max(below, 1), shape, generator=self.generator)


@dataclass(frozen=True)
class InputKind:
    """One input.

    Args:
        make: values (rows, width, …) for given rows.
        absent: the value that says the same as leaving the input out, where there is one.
        width_axis: name of the second axis where it is not the text's own.
        on_demand: declared only where the model cannot run without it.
    """

    make: Callable[[Rows], torch.Tensor]
    absent: Callable[[Any], int] | None = None
    width_axis: str | None = None
    on_demand: bool = False

    def absent_value(self, config: Any) -> int:
        """The number that says the same as leaving the input out; 0 where there is none."""
        return self.absent(config) if self.absent else 0


def _zero(config: Any) -> int:
    return 0


def _one(config: Any) -> int:
    return 1


def _token_type_ids(rows: Rows) -> torch.Tensor:
    sizes = getattr(rows.config, "type_vocab_sizes", None)
    if sizes:
        # TAPAS: segment, column, row and five more numbers for each token.
        types = torch.stack([rows.integers(min(size, 8), *rows.shape) for size in sizes], dim=-1)
        return types * rows.attention_mask[..., None]
    second_half = torch.arange(rows.shape[1])[None, :] >= (rows.lengths // 2)[:, None]
    type_vocab_size = getattr(rows.config, "type_vocab_size", 2)
    return second_half.long() * rows.attention_mask * int(type_vocab_size != 1)


def _bbox(rows: Rows) -> torch.Tensor:
    """Boxes (left, top, right, bottom), inside the page and not turned over."""
    corners = torch.rand(*rows.shape, 2, 2, generator=rows.generator).sort(dim=2).values.flatten(2)
    if any(hasattr(rows.config, name) for name in ("dim_bbox", "relative_bias_args")):
        # BROS and UDOP take fractions of the page.
        return corners
    page = getattr(rows.config, "max_2d_position_embeddings", None) or 1000
    return (corners * (page - 1)).long() * rows.attention_mask[..., None]


def _decoder_input_ids(rows: Rows) -> torch.Tensor:
    ids = rows.input_ids.roll(1, dims=1)[:, : max(1, 2 * rows.shape[1] // 3)]
    start = getattr(rows.config, "decoder_start_token_id", None)
    return torch.cat([torch.full_like(ids[:, :1], start or 0), ids[:, 1:]], dim=1)


def _num_visual_features(rows: Rows) -> int:
    return 3 + rows.shape[1] % 6


def _visual_feats(rows: Rows) -> torch.Tensor:
    shape = (rows.shape[0], _num_visual_features(rows), rows.config.visual_feat_dim)
    return torch.randn(shape, generator=rows.generator)


def _visual_pos(rows: Rows) -> torch.Tensor:
    shape = (rows.shape[0], _num_visual_features(rows), rows.config.visual_pos_dim)
    return torch.rand(shape, generator=rows.generator)


def _ids_of(size_name: str) -> Callable[[Rows], torch.Tensor]:
    """Random ids below the size that the config has under this name."""

    def make(rows: Rows) -> torch.Tensor:
        return rows.integers(int(getattr(rows.config, size_name, 1) or 1), *rows.shape)

    return make


def _xpath_ids(size_name: str) -> Callable[[Rows], torch.Tensor]:
    def make(rows: Rows) -> torch.Tensor:
        return rows.integers(getattr(rows.config, size_name), *rows.shape, rows.config.max_depth)

    return make


# In the order in which a graph declares them.
INPUT_KINDS: Mapping[str, InputKind] = {
    "input_ids": InputKind(lambda rows: rows.input_ids),
    "attention_mask": InputKind(lambda rows: rows.attention_mask, absent=_one),
    "token_type_ids": InputKind(_token_type_ids, absent=_zero),
    "bbox": InputKind(_bbox, absent=_zero),
    "langs": InputKind(_ids_of("n_langs"), absent=_zero),
    "task_type_ids": InputKind(_ids_of("task_type_vocab_size"), absent=_zero),
    "input_shape_ids": InputKind(_ids_of("shape_vocab_size"), absent=_zero),
    "input_pronunciation_ids": InputKind(_ids_of("pronunciation_vocab_size"), absent=_zero),
    "xpath_tags_seq": InputKind(
        _xpath_ids("max_xpath_tag_unit_embeddings"), absent=lambda config: int(config.tag_pad_id)
    ),
    "xpath_subs_seq": InputKind(
        _xpath_ids("max_xpath_subs_unit_embeddings"), absent=lambda config: int(config.subs_pad_id)
    ),
    "visual_feats": InputKind(_visual_feats, width_axis="num_visual_features", on_demand=True),
    "visual_pos": InputKind(_visual_pos, width_axis="num_visual_features", on_demand=True),
    "decoder_input_ids": InputKind(_decoder_input_ids, width_axis="decoder_sequence_length", on_demand=True),
}

# Arguments of a forward that say how to compute rather than what about, repeat another input, or only give a loss.
NOT_INPUTS = frozenset(
    {
        "bbox_first_token_mask",
        "cache",
        "cache_position",
        "decoder_attention_mask",
        "decoder_inputs_embeds",
        "decoder_position_ids",
        "deprecated_arguments",
        "encoder_attention_mask",
        "encoder_hidden_states",
        "encoder_outputs",
        "end_positions",
        "entity_labels",
        "image_hidden_states",
        "inputs",
        "inputs_embeds",
        "interpolate_pos_encoding",
        "is_impossible",
        "kwargs",
        "labels",
        "lengths",
        "logits_to_keep",
        "next_sentence_label",
        "num_hashes",
        "output_attentions",
        "output_hidden_states",
        "p_mask",
        "past_key_values",
        "position_ids",
        "question_lengths",
        "return_dict",
        "return_loss",
        "self",
        "sentence_order_label",
        "start_positions",
        "use_cache",
        "use_mems",
    }
)
