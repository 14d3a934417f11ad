"""Turn Hugging Face checkpoints into verified ONNX artifacts (needs the ``[export]`` extra)."""

from __future__ import annotations

from typing import Any

__all__ = ["ExportReport", "export"]


def __getattr__(name: str) -> Any:
    # On first use: `headway export --help` should not wait for torch.
    if name == "export":
        from .convert import export

        return export
    if name == "ExportReport":
        from .report import ExportReport

        return ExportReport
    raise AttributeError(f"headway.export has no {name!r}; it has {', '.join(__all__)}.")
