"""From the formats models are shipped in to a plain folder: one file per format, each ``(source, target) -> None``."""

from .ct2_whisper import convert_ct2_whisper
from .gguf import convert_gguf
from .onnx_t5 import convert_onnx_t5
from .plain import copy_folder, copy_onnx

__all__ = ["convert_ct2_whisper", "convert_gguf", "convert_onnx_t5", "copy_folder", "copy_onnx"]
