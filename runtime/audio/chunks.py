"""Long audio cut into chunks that overlap, as transformers' pipeline cuts it.

Source: transformers 5.23, pipelines/automatic_speech_recognition.py (`chunk_iter`, `rescale_stride`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import OptionError
from .waveforms import Waveform


@dataclass(frozen=True)
class Chunk:
    """A piece of a waveform.

    Args:
        waveform: (samples,) float32.
        left: samples at its beginning that the chunk before answers for.
        right: samples at its end that the next one answers for.
    """

    waveform: Waveform
    left: int = 0
    right: int = 0

    @property
    def stride(self) -> tuple[int, int, int]:
        """Samples, and those at either end."""
        return len(self.waveform), self.left, self.right


@dataclass(frozen=True)
class Chunking:
    """How long audio is cut; lengths in samples."""

    length: int
    left: int
    right: int

    @classmethod
    def of(
        cls,
        chunk_length_s: float,
        stride_length_s: float | Sequence[float] | None,
        sampling_rate: int,
        align_to: int = 1,
    ) -> Chunking:
        """From seconds; every length becomes a multiple of ``align_to`` samples.

        Args:
            stride_length_s: overlap on either side, or left and right; None takes a sixth of the chunk.

        Raises:
            OptionError: the overlaps leave nothing of a chunk.
        """
        stride = chunk_length_s / 6 if stride_length_s is None else stride_length_s
        sides = [stride, stride] if isinstance(stride, int | float) else list(stride)
        if len(sides) != 2 or min(sides) < 0:
            raise OptionError(f"stride_length_s is {stride_length_s!r}; seconds are needed, or (left, right) of them.")
        length, left, right = (
            int(round(seconds * sampling_rate / align_to) * align_to) for seconds in (chunk_length_s, *sides)
        )
        if length <= left + right:
            raise OptionError(
                f"chunk_length_s={chunk_length_s} is no longer than its overlaps, {sides[0]} s and {sides[1]} s; "
                "lower stride_length_s."
            )
        return cls(length, left, right)

    def cut(self, waveform: Waveform) -> list[Chunk]:
        """The chunks of a waveform, in order."""
        chunks = []
        for start in range(0, len(waveform), self.length - self.left - self.right):
            piece = waveform[start : start + self.length]
            is_last = start + self.length >= len(waveform)
            left = self.left if start else 0
            if len(piece) > left:
                chunks.append(Chunk(piece, left, 0 if is_last else self.right))
            if is_last:
                break
        return chunks


def frames_kept(stride: tuple[int, int, int], samples_per_frame: float) -> slice:
    """Frames of a chunk that it answers for itself."""
    num_samples, left, right = stride
    num_frames = round(num_samples / samples_per_frame)
    first = round(left / num_samples * num_frames)
    last = num_frames - round(right / num_samples * num_frames)
    return slice(first, last)
