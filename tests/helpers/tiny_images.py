"""Tiny random checkpoints that take images, with their processors and tokenizers, saved and exported."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny_tokenizers
import torch
import transformers

from headway.benchmarks.tiny_checkpoints import spread_weights
from headway.export import export

LABELS = ("tench", "goldfish", "great white shark", "tiger shark", "hammerhead", "electric ray", "stingray")
_LABELS: dict[str, Any] = {
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: index for index, label in enumerate(LABELS)},
}
_LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48}
_SQUARE = {"size": {"height": 32, "width": 32}}


@dataclass(frozen=True)
class ImageHead:
    """A checkpoint, what it was exported to, and the task."""

    task: str
    checkpoint: Path
    artifact: Path

    def theirs(self, **options: Any) -> Any:
        """transformers' pipeline over the checkpoint."""
        return transformers.pipeline(self.task, str(self.checkpoint), device="cpu", **options)


ImageHeads = Callable[[str], ImageHead]


def _vit() -> tuple[Any, Any]:
    config = transformers.ViTConfig(image_size=32, patch_size=8, **_LAYERS, **_LABELS)
    return transformers.ViTForImageClassification(config), transformers.ViTImageProcessorPil(**_SQUARE)


def _backbone() -> tuple[Any, Any]:
    config = transformers.ViTConfig(image_size=32, patch_size=8, **_LAYERS)
    return transformers.ViTModel(config), transformers.ViTImageProcessorPil(**_SQUARE)


def _convnext() -> tuple[Any, Any]:
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], image_size=64, **_LABELS)
    processor = transformers.ConvNextImageProcessorPil(size={"shortest_edge": 64})
    return transformers.ConvNextForImageClassification(config), processor


def _swin() -> tuple[Any, Any]:
    config = transformers.SwinConfig(
        image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4, **_LABELS
    )
    processor = transformers.ViTImageProcessorPil(**_SQUARE, resample=3, image_mean=[0.485, 0.456, 0.406])
    return transformers.SwinForImageClassification(config), processor


def _clip() -> tuple[Any, Any]:
    tokenizer = tiny_tokenizers.build("CLIPTokenizer", model_max_length=40)
    text = {
        **_LAYERS,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 40,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**_LAYERS, "image_size": 32, "patch_size": 8}, projection_dim=24
    )
    images = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    return transformers.CLIPModel(config), transformers.CLIPProcessor(images, tokenizer)


def _siglip() -> tuple[Any, Any]:
    tokenizer = tiny_tokenizers.build("T5Tokenizer", extra_ids=0, model_max_length=64)
    text = {**_LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 32}
    config = transformers.SiglipConfig(
        text_config={**text, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
        vision_config={**_LAYERS, "image_size": 32, "patch_size": 8},
    )
    tokenizer.model_input_names = ["input_ids"]
    return transformers.SiglipModel(config), transformers.SiglipProcessor(
        transformers.SiglipImageProcessorPil(**_SQUARE), tokenizer
    )


def _siglip2() -> tuple[Any, Any]:
    """Patches of images of any proportions."""
    tokenizer = tiny_tokenizers.build("T5Tokenizer", extra_ids=0, model_max_length=64)
    text = {**_LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 32}
    config = transformers.Siglip2Config(
        text_config={**text, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
        vision_config={**_LAYERS, "num_patches": 16, "patch_size": 8},
    )
    tokenizer.model_input_names = ["input_ids"]
    images = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=20)
    return transformers.Siglip2Model(config), transformers.Siglip2Processor(images, tokenizer)


def _imagegpt() -> tuple[Any, Any]:
    """Colors as token ids."""
    config = transformers.ImageGPTConfig(n_embd=32, n_layer=2, n_head=2, vocab_size=6, n_positions=64, **_LABELS)
    clusters = [[-0.9, -0.9, -0.9], [0.9, 0.9, 0.9], [0.6, -0.2, -0.7], [-0.3, 0.1, 0.8], [0.0, 0.0, 0.0]]
    processor = transformers.ImageGPTImageProcessorPil(clusters=clusters, size={"height": 8, "width": 8})
    return transformers.ImageGPTForImageClassification(config), processor


_HEADS: dict[str, tuple[str, Callable[[], tuple[Any, Any]]]] = {
    "vit": ("image-classification", _vit),
    "convnext": ("image-classification", _convnext),
    "swin": ("image-classification", _swin),
    "imagegpt": ("image-classification", _imagegpt),
    "clip": ("zero-shot-image-classification", _clip),
    "siglip": ("zero-shot-image-classification", _siglip),
    "siglip2": ("zero-shot-image-classification", _siglip2),
    "backbone": ("image-feature-extraction", _backbone),
}


def build_image_head(name: str, folder: Path) -> ImageHead:
    """Make a checkpoint of the table above and export it."""
    task, make = _HEADS[name]
    torch.manual_seed(0)
    model, processor = make()
    spread_weights(model)
    checkpoint = folder / "checkpoint"
    model.eval().save_pretrained(checkpoint)
    processor.save_pretrained(checkpoint)
    export(checkpoint, folder / "artifact", task=task, progress=False)
    return ImageHead(task, checkpoint, folder / "artifact")
