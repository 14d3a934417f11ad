"""One window of Whisper for several rows: prompts, the decoder at rising temperatures, and what came of it.

Source: transformers 5.23, models/whisper/generation_whisper.py (`generate_with_fallback`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputTooLongError
from .config import GenerationConfig
from .history import Scores, TokenIds
from .outputs import GenerateOutput
from .whisper_alignment import TokenAligner
from .whisper_prompt import first_id, previous_tokens
from .whisper_quality import Thresholds, mean_logprob, silence_probabilities
from .whisper_timestamps import Segment, TimestampRules

if TYPE_CHECKING:
    from .seq2seq_speech import AutoModelForSpeechSeq2Seq

Features = NDArray[np.float32]
# From this temperature on, what was written is too random to go before the next window.
_HIGH_TEMPERATURE = 0.5


@dataclass
class TranscriptPlan:
    """Everything about a transcription that holds for all windows.

    Args:
        config: resolved; lengths grow with the prompts.
        removed: options that the caller set to None.
        callables: the caller's processors, criteria, streamer.
        prompts: (rows, tokens) int64 that every window begins with.
        num_copies: sequences for each input.
        window_frames: frames of a window.
        has_timestamps: whether the model writes timestamps.
        timestamp_begin: id of the timestamp 0.00.
        thresholds: when a window is written again.
        temperatures: to try, in order.
        conditions_on_previous: whether a window's prompt holds what was written before.
        prompt_ids: (tokens,) int64 of the caller, or None.
        repeats_prompt: whether they go before every window, in place of the mark of previous text.
        max_positions: of the decoder.
        aligner: gives each token's time; None where they are not wanted.
    """

    config: GenerationConfig
    removed: Mapping[str, None]
    callables: Mapping[str, Any]
    prompts: TokenIds
    num_copies: int
    window_frames: int
    has_timestamps: bool
    timestamp_begin: int
    thresholds: Thresholds
    temperatures: Sequence[float | None]
    conditions_on_previous: bool
    prompt_ids: TokenIds | None
    repeats_prompt: bool
    max_positions: int
    aligner: TokenAligner | None = None

    @property
    def first_segments(self) -> list[Segment]:
        """The caller's prompt as what was written before the first window."""
        if self.prompt_ids is None or self.repeats_prompt:
            return []
        is_marked = self.prompt_ids[0] == self.config.extra.get("prev_sot_token_id")
        return [Segment(0.0, 0.0, self.prompt_ids[int(is_marked) :], (0, 0), None)]

    @property
    def previous_mark(self) -> list[int]:
        """The token, if any, that says that text of before follows."""
        mark = self.config.extra.get("prev_sot_token_id")
        suppressed = self.config.suppress_tokens or []
        if mark is None and len(suppressed) >= 2:
            mark = suppressed[-2]
        return [] if mark is None else [int(mark)]


@dataclass
class WindowResult:
    """What was written for a window, row by row.

    Args:
        tokens: (tokens,) int64 of each row, without prompt and end.
        prompt_lengths: tokens of each row's prompt.
        outputs: what ``generate`` gave for each row.
        is_silent: whether a row's window is to be skipped.
        sequences: (rows, tokens) int64 of the first attempt, prompts and ends included.
        whole: all that ``generate`` gave at the first attempt.
    """

    tokens: list[TokenIds]
    prompt_lengths: list[int]
    outputs: list[Any]
    is_silent: list[bool]
    sequences: TokenIds
    whole: Any

    def with_times(self, index: int, segments: list[Segment], offset: float) -> list[Segment]:
        """Segments of a row with the times of their tokens, where there are any."""
        output = self.outputs[index]
        if not isinstance(output, Mapping) or "token_timestamps" not in output:
            return segments
        times = output["token_timestamps"]
        return [replace(segment, token_timestamps=times[slice(*segment.positions)] + offset) for segment in segments]


@dataclass
class WindowWriter:
    """Writes windows, one after the other.

    Args:
        model: the loaded encoder-decoder.
        plan: of the transcription.
        mask: (batch, frames) int64 of the whole audio, or None.
    """

    model: AutoModelForSpeechSeq2Seq
    plan: TranscriptPlan
    mask: NDArray[np.int64] | None = None
    _follows: dict[int, bool] = field(default_factory=dict)
    """Row → whether its next prompt holds what was written before."""

    def write(
        self, windows: Features, rows: NDArray[np.integer], seek: NDArray[np.int64], segments: Sequence[list[Segment]]
    ) -> WindowResult:
        """Write one window for each of ``rows``.

        Args:
            windows: (rows, mel bins, frames) float32.
            rows: which rows of the transcription these are.
            seek: (rows,) frames at which the windows begin.
            segments: what was written so far, for every row of the transcription.
        """
        prompts = [self._prompt(int(row), segments) for row in rows]
        result = WindowResult([], [len(prompt) for prompt in prompts], [], [False] * len(rows), np.empty(0, int), None)
        result.tokens = [np.empty(0, dtype=np.int64)] * len(rows)
        result.outputs = [None] * len(rows)
        # Prompts of one length share a batch, so that none is padded.
        for length in sorted(set(result.prompt_lengths)):
            members = [index for index, prompt in enumerate(prompts) if len(prompt) == length]
            batch = np.array([prompts[index] for index in members], dtype=np.int64)
            self._write_batch(windows, rows, seek, batch, members, result)
        return result

    def _prompt(self, row: int, segments: Sequence[list[Segment]]) -> list[int]:
        plan, own = self.plan, self.plan.prompts[row].tolist()
        follows = self._follows.get(row, plan.conditions_on_previous)
        if any(self._follows.values() or [plan.conditions_on_previous]) and segments[0]:
            before = plan.prompt_ids.tolist() if plan.repeats_prompt and plan.prompt_ids is not None else None
            bos = plan.previous_mark if before is None else before
            longest = plan.max_positions // 2 - 1
            return [*previous_tokens(segments[row] if follows else [], bos, longest, plan.timestamp_begin), *own]
        return own if plan.prompt_ids is None else [*plan.prompt_ids.tolist(), *own]

    def _write_batch(
        self,
        windows: Features,
        rows: NDArray[np.integer],
        seek: NDArray[np.int64],
        prompts: TokenIds,
        members: list[int],
        result: WindowResult,
    ) -> None:
        """Write some rows at the first temperature, and those that fail again at the next."""
        plan = self.plan
        max_length = self._max_length(prompts.shape[1])
        encoded = self.model.get_encoder()(windows[members])
        silence: Scores | None = None
        if plan.thresholds.no_speech is not None:
            position = prompts.shape[1] - plan.prompts.shape[1]
            token = plan.timestamp_begin - 2
            silence = silence_probabilities(self.model.graphs, encoded.encoded, prompts, position, token)
        left = list(range(len(members)))
        for attempt, temperature in enumerate(plan.temperatures):
            chosen = encoded if len(left) == len(members) else encoded.select(np.array(left))
            output = self._generate(chosen, prompts[left], temperature, max_length)
            if attempt == 0:
                result.sequences, result.whole = output.sequences, output
            places = [members[index] for index in left]
            times = self._token_times(chosen, output.sequences, prompts.shape[1], rows, seek, places)
            failed = []
            for index, row in enumerate(left):
                tokens = self._stripped(output.sequences[index, prompts.shape[1] :])
                likely = self._mean_logprob(output, index, tokens, temperature)
                said = None if silence is None else float(silence[row])
                fails, is_silent = plan.thresholds.judge(tokens, likely, said, self.model.graphs.vocab_size)
                place = members[row]
                ends = len(tokens) > 0 and tokens[-1] in plan.config.eos_token_ids
                result.tokens[place] = tokens[:-1] if ends else tokens
                result.outputs[place] = self._row_output(output, index, times)
                result.is_silent[place] = is_silent
                is_low = temperature is None or temperature < _HIGH_TEMPERATURE
                self._follows[int(rows[place])] = plan.conditions_on_previous and is_low
                if fails:
                    failed.append(row)
            left = failed
            if not left:
                break

    def _max_length(self, prompt_length: int) -> int | None:
        """The most tokens with the prompt; None leaves it to ``max_new_tokens``.

        Raises:
            InputTooLongError: prompt and ``max_new_tokens`` are over the decoder's positions.
        """
        plan, config = self.plan, self.plan.config
        if (config.max_new_tokens or 0) + prompt_length > plan.max_positions:
            raise InputTooLongError(
                f"The decoder's prompt of {prompt_length} tokens and max_new_tokens={config.max_new_tokens} are over "
                f"its {plan.max_positions} positions. Shorten the prompt, or lower max_new_tokens."
            )
        if config.max_length is None or config.max_new_tokens is not None:
            return None
        longest_prompt = min(plan.max_positions // 2 - 1, prompt_length)
        # As in transformers, the length grows with each window's prompt.
        config.max_length = min(config.max_length + longest_prompt, plan.max_positions)
        return config.max_length

    def _generate(
        self, encoded: Any, prompts: TokenIds, temperature: float | None, max_length: int | None
    ) -> GenerateOutput:
        plan, config = self.plan, self.plan.config.copy()
        config.max_length = max_length
        config.do_sample = temperature is not None and temperature > 0
        config.temperature = temperature if config.do_sample else 1.0
        config.num_beams = 1 if config.do_sample else config.num_beams
        needs_scores = plan.thresholds.needs_scores or bool(config.output_scores)
        config.output_scores, config.return_dict_in_generate = needs_scores, True
        processors = list(plan.callables.get("logits_processor", ()))
        if plan.has_timestamps:
            processors.insert(0, self._timestamp_rules(prompts.shape[1]))
        callables = {name: value for name, value in plan.callables.items() if name != "logits_processor"}
        output: Any = self.model.generate_tokens(
            None,
            encoder_outputs=encoded,
            decoder_input_ids=prompts,
            generation_config=config,
            logits_processor=processors,
            **callables,
            **plan.removed,
        )
        written: GenerateOutput = output
        return written

    def _timestamp_rules(self, prompt_length: int) -> TimestampRules:
        config = self.plan.config
        end = first_id(list(config.eos_token_ids) or config.bos_token_id)
        latest = config.extra.get("max_initial_timestamp_index")
        return TimestampRules(self.plan.timestamp_begin, end, prompt_length, latest)

    def _stripped(self, tokens: TokenIds) -> TokenIds:
        """Tokens without the filling behind them; an end that is the filling, too, stays."""
        fill = self.plan.config.fill_token_id
        if not len(tokens) or tokens[-1] != fill:
            return tokens
        num_fill = int((tokens == fill).sum()) - int(fill in self.plan.config.eos_token_ids)
        return tokens[: len(tokens) - num_fill] if num_fill else tokens

    def _mean_logprob(
        self, output: GenerateOutput, index: int, tokens: TokenIds, temperature: float | None
    ) -> float | None:
        if not self.plan.thresholds.needs_scores:
            return None
        if output.sequences_scores is not None:
            return float(output.sequences_scores[index])
        return mean_logprob([step[index] for step in output.scores], tokens, temperature)

    def _token_times(
        self,
        encoded: Any,
        sequences: TokenIds,
        prompt_length: int,
        rows: NDArray[np.integer],
        seek: NDArray[np.int64],
        places: list[int],
    ) -> NDArray[np.float32] | None:
        """(rows, tokens) float32 seconds from the window's beginning, where they are wanted."""
        if self.plan.aligner is None:
            return None
        num_frames = None
        if self.mask is not None:
            lengths = self.mask.sum(axis=1)
            num_frames = [int(lengths[rows[place] // self.plan.num_copies] - seek[place]) for place in places]
        return self.plan.aligner.times(encoded.encoded, sequences, prompt_length, num_frames)

    def _row_output(self, output: GenerateOutput, index: int, times: NDArray[np.float32] | None) -> Any:
        """What a segment keeps of a row: its sequence, or a mapping where more was asked for."""
        if times is None:
            return output.sequences[index]
        return {"sequences": output.sequences[index], "token_timestamps": times[index]}
