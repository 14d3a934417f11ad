"""sentence-transformers, which sorts texts by length: on PyTorch, or on OpenVINO through optimum-intel."""

import logging
from typing import Any

from .engine import Engine, Settings


def embedder(settings: Settings) -> Engine:
    """Texts → unit vectors."""
    import sentence_transformers
    import torch

    torch.set_num_threads(settings.threads)
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    backend = settings.options.get("backend", "torch")
    model = sentence_transformers.SentenceTransformer(
        str(settings.checkpoint), device="cpu", backend=backend, model_kwargs=_model_options(settings, backend)
    )
    return Engine(
        lambda texts: model.encode(texts, normalize_embeddings=True, show_progress_bar=False),
        lambda texts: texts,
        lambda vectors: vectors.tolist(),
    )


def _model_options(settings: Settings, backend: str) -> dict[str, Any]:
    import torch

    if backend == "openvino":
        hint = {"fp32": "f32", "bf16": "bf16"}[settings.precision]
        return {
            "export": True,
            "ov_config": {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": settings.threads},
        }
    return {"dtype": {"fp32": torch.float32, "bf16": torch.bfloat16}[settings.precision]}
