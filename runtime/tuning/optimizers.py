"""Which of ONNX Runtime's optimizers change a graph at all: only these are worth a measurement."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..onnx_file import operator_counts
from ..providers import CPU_PROVIDER, import_onnxruntime
from .setup import DISABLED_OPTIMIZERS

logger = logging.getLogger("headway")

OPTIMIZERS: Sequence[str] = (
    "SkipLayerNormFusion",
    "BiasSkipLayerNormFusion",
    "BiasGeluFusion",
    "GeluFusionL1",
    "GeluFusionL2",
    "FastGeluFusion",
    "QuickGeluFusion",
    "LayerNormFusionL1",
    "LayerNormFusionL2",
    "SimplifiedLayerNormFusion",
    "EmbedLayerNormFusion",
    "AttentionFusion",
    "GroupQueryAttentionFusion",
    "GroupQueryAttentionPreNormFusion",
    "BiasSoftmaxFusion",
    "DynamicQuantizeMatMulFusion",
    "MatMulIntegerToFloatFusion",
    "MatMulNBitsMlpFusion",
    "MatMulNBitsQkvFusion",
    "MatMulAddFusion",
    "MatMulActivationFusion",
    "MatMulScaleFusion",
    "MatmulTransposeFusion",
    "GemmActivationFusion",
    "GemmTransposeFusion",
    "TransposeOptimizer",
    "ConvActivationFusion",
    "ConvAddActivationFusion",
    "NchwcTransformer",
    "NhwcTransformer",
)
"""Fusions and layouts that may cost more than they save, by ONNX Runtime's names."""

_MOST_MODEL_BYTES = 1 << 30


def effective_optimizers(graphs: Sequence[Path]) -> Iterator[str]:
    """Optimizers that change at least one of some graphs; none for graphs too large to write out again and again."""
    if sum(path.stat().st_size for path in graphs) > _MOST_MODEL_BYTES:
        logger.info("The graphs are too large to look for optimizers that change them; they keep all.")
        return
    plain = [_optimized_operators(path, "") for path in graphs]
    for name in OPTIMIZERS:
        if any(_optimized_operators(path, name) != counts for path, counts in zip(graphs, plain, strict=True)):
            yield name


def _optimized_operators(path: Path, disabled: str) -> Counter[str]:
    """What a graph consists of after ONNX Runtime's optimizers."""
    onnxruntime = import_onnxruntime()
    with tempfile.TemporaryDirectory(prefix="headway-tune-") as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        options.add_session_config_entry("session.disable_prepacking", "1")
        # Weights go to a file of their own, which nobody reads.
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
        if disabled:
            options.add_session_config_entry(DISABLED_OPTIMIZERS, disabled)
        onnxruntime.InferenceSession(str(path), options, providers=[CPU_PROVIDER])
        return operator_counts(Path(folder) / "model.onnx")
