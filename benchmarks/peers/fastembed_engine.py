"""fastembed on a local ONNX file: batches of 256 texts in the order of arrival, its default."""

from pathlib import Path

from .engine import Engine, Settings

_NAME = "local/sentence-model"
_DIMENSIONS = 384


def embedder(settings: Settings) -> Engine:
    """Texts → unit vectors."""
    import numpy as np
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model=_NAME,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=_NAME),
        dim=_DIMENSIONS,
        model_file="model.onnx",
    )
    folder = Path(settings.options["onnx"])
    model = TextEmbedding(_NAME, specific_model_path=str(folder), threads=settings.threads)
    return Engine(
        lambda texts: np.stack(list(model.embed(texts))),
        lambda texts: texts,
        lambda vectors: vectors.tolist(),
        files=(folder / "model.onnx",),
    )
