"""Pipelines: items in, results in transformers' formats out, one file for each head."""

from __future__ import annotations

from .base import Pipeline
from .factory import pipeline

__all__ = ["Pipeline", "pipeline"]
