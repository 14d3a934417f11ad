"""Whisper's generate(): a window of 30 seconds after the other, each beginning where the last timestamp says.

    features → prompt → window → decoder → segments → next window → …

Source: transformers 5.23, models/whisper/generation_whisper.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, InputTypeError, OptionError
from .config import GenerationConfig
from .config_resolve import resolve_config
from .history import TokenIds
from .whisper_alignment import TokenAligner
from .whisper_options import WhisperOptions
from .whisper_prompt import initial_tokens, prompt_tokens
from .whisper_quality import Thresholds
from .whisper_timestamps import INPUT_STRIDE, Segment, WindowClock, split_segments
from .whisper_windows import TranscriptPlan, WindowResult, WindowWriter

if TYPE_CHECKING:
    from .seq2seq_speech import AutoModelForSpeechSeq2Seq

Features = NDArray[np.float32]

_MEDIAN_FILTER_WIDTH = 7
# Arguments of generate() that are no options of a configuration.
_CALLABLES = ("logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "streamer", "tokenizer")


def transcribe(
    model: AutoModelForSpeechSeq2Seq,
    input_features: ArrayLike | None,
    attention_mask: ArrayLike | None,
    options: WhisperOptions,
    arguments: Mapping[str, Any],
) -> Any:
    """What was said in audio of any length.

    Args:
        input_features: (batch, mel bins, frames) float32; over one window of frames makes it long-form.
        attention_mask: (batch, frames), 0 for padding; needed for several rows of long audio.
        options: Whisper's own.
        arguments: all others of ``generate()``.

    Returns:
        (rows, tokens) int64, without prompt and end, filled up with ``pad_token_id``; see
        :meth:`.seq2seq_speech.AutoModelForSpeechSeq2Seq.generate` for other forms.

    Raises:
        OptionError, InputError, InputTypeError, InputTooLongError: see there.
    """
    features, mask = _require_features(model, input_features), _as_mask(attention_mask)
    plan = _plan(model, features, mask, options, arguments)
    features = np.repeat(features, plan.num_copies, axis=0)
    ends = np.repeat(_num_frames(features[:: plan.num_copies], mask, plan), plan.num_copies)
    seek = np.zeros(len(features), dtype=np.int64)
    segments: list[list[Segment]] = [list(plan.first_segments) for _ in features]
    writer = WindowWriter(model, plan, mask)
    result: WindowResult | None = None
    while (seek < ends).any():
        if options.monitor_progress is not None:
            options.monitor_progress(np.stack([seek, ends], axis=1))
        rows = np.flatnonzero(seek < ends)
        num_frames = np.minimum(ends[rows] - seek[rows], plan.window_frames)
        windows = np.zeros((len(rows), features.shape[1], plan.window_frames), dtype=np.float32)
        for index, row in enumerate(rows.tolist()):
            windows[index, :, : num_frames[index]] = features[row, :, seek[row] : seek[row] + num_frames[index]]
        result = writer.write(windows, rows, seek[rows], segments)
        for index, row in enumerate(rows.tolist()):
            length = int(num_frames[index])
            if result.is_silent[index]:
                seek[row] += length
                continue
            found, num_further = split_segments(
                result.tokens[index],
                result.prompt_lengths[index],
                result.outputs[index],
                _clock(plan, options, int(seek[row]), length),
            )
            segments[row] += result.with_times(index, found, _offset(options, int(seek[row])))
            seek[row] += num_further
        if options.force_unique_generate_call:
            break
    return _answer(plan, options, segments, result)


def _plan(
    model: AutoModelForSpeechSeq2Seq,
    features: Features,
    mask: NDArray[np.int64] | None,
    options: WhisperOptions,
    arguments: Mapping[str, Any],
) -> TranscriptPlan:
    """Everything that holds for all windows."""
    given = {name: value for name, value in arguments.items() if name not in (*_CALLABLES, "generation_config")}
    config = resolve_config(model.generation_config, arguments.get("generation_config"), **given)
    window_frames = INPUT_STRIDE * int(model.config.get("max_source_positions", 1500))
    has_timestamps = _has_timestamps(config, options, is_long=features.shape[2] > window_frames)
    batch, graphs = len(features), model.graphs
    num_copies = config.num_return_sequences or 1
    config.num_return_sequences = 1

    def detect_language() -> list[int]:
        return _detect_language(model, features[:, :, :window_frames], config, window_frames)

    prompts = initial_tokens(
        config,
        options,
        batch,
        has_timestamps=has_timestamps,
        detect_language=detect_language,
        forced_of_model=model.config.get("forced_decoder_ids"),
    )
    condition = _either(options.condition_on_prev_tokens, config.extra.get("condition_on_prev_tokens"))
    if options.prompt_condition_type == "all-segments" and not condition:
        raise OptionError("prompt_condition_type='all-segments' needs condition_on_prev_tokens=True.")
    return TranscriptPlan(
        config=config,
        removed={name: None for name, value in given.items() if value is None},
        callables={name: arguments[name] for name in _CALLABLES if arguments.get(name) is not None},
        prompts=np.repeat(prompts, num_copies, axis=0),
        num_copies=num_copies,
        window_frames=window_frames,
        has_timestamps=has_timestamps,
        timestamp_begin=config.extra.get("no_timestamps_token_id", graphs.vocab_size) + 1,
        thresholds=Thresholds(
            _either(options.compression_ratio_threshold, config.extra.get("compression_ratio_threshold")),
            _either(options.logprob_threshold, config.extra.get("logprob_threshold")),
            _either(options.no_speech_threshold, config.extra.get("no_speech_threshold")),
        ),
        temperatures=options.temperatures,
        conditions_on_previous=bool(condition),
        prompt_ids=prompt_tokens(options.prompt_ids, graphs.vocab_size),
        repeats_prompt=options.prompt_condition_type == "all-segments",
        max_positions=int(model.config.get("max_target_positions", 448)),
        aligner=_aligner(model, config, options),
    )


def _aligner(
    model: AutoModelForSpeechSeq2Seq, config: GenerationConfig, options: WhisperOptions
) -> TokenAligner | None:
    if not options.return_token_timestamps:
        return None
    width = int(model.config.get("median_filter_width", _MEDIAN_FILTER_WIDTH))
    return TokenAligner.of(model.graphs, config, width, options.time_precision)


def _has_timestamps(config: GenerationConfig, options: WhisperOptions, *, is_long: bool) -> bool:
    wanted = _either(options.return_timestamps, config.extra.get("return_timestamps"))
    if is_long and options.return_timestamps is False:
        raise OptionError(
            "The audio is longer than the model's window, which needs timestamps to find its way; "
            "pass return_timestamps=True, or one window at a time."
        )
    if (wanted or is_long) and "no_timestamps_token_id" not in config.extra:
        raise OptionError(
            "Timestamps need no_timestamps_token_id in generation_config.json. "
            "Take the file of the checkpoint's newest revision."
        )
    return bool(wanted or is_long)


def _detect_language(
    model: AutoModelForSpeechSeq2Seq, features: Features, config: GenerationConfig, window_frames: int
) -> list[int]:
    """The likeliest language's token id for each row, from its first window."""
    missing = window_frames - features.shape[2]
    window = np.pad(features, ((0, 0), (0, 0), (0, missing)))
    graphs = model.graphs
    cache = graphs.new_cache(graphs.encode(model.prepare_feeds({model.main_input_name: window})))
    start = np.full((len(features), 1), config.decoder_start_token_id, dtype=np.int64)
    logits = graphs.run(cache, start)[:, -1]
    candidates = np.array(list(config.extra["lang_to_id"].values()), dtype=np.int64)
    ids: list[int] = candidates[logits[:, candidates].argmax(axis=1)].tolist()
    return ids


def _require_features(model: AutoModelForSpeechSeq2Seq, value: ArrayLike | None) -> Features:
    try:
        features = np.asarray(value)
    except ValueError as error:
        raise InputTypeError(f"input_features is ragged ({error}); one array is needed.") from error
    num_bins = model.session.inputs[0].shape[1]
    if features.ndim != 3 or features.shape[1] != num_bins or features.size == 0:
        raise InputError(
            f"input_features has shape {features.shape}; (batch, {num_bins}, frames) is needed, as the model's feature "
            "extractor gives it."
        )
    if not np.issubdtype(features.dtype, np.floating):
        raise InputTypeError(f"input_features has dtype {features.dtype}; the model takes float32.")
    return features.astype(np.float32, copy=False)


def _as_mask(attention_mask: ArrayLike | None) -> NDArray[np.int64] | None:
    return None if attention_mask is None else np.asarray(attention_mask).astype(np.int64)


def _num_frames(features: Features, mask: NDArray[np.int64] | None, plan: TranscriptPlan) -> NDArray[np.int64]:
    """Frames of each row that are to be transcribed."""
    batch, _, total = features.shape
    if batch == 1 or total <= plan.window_frames:
        return np.full(batch, total, dtype=np.int64)
    if mask is None or mask.shape != (batch, total):
        raise InputError(
            f"Several rows of long audio need attention_mask of shape {(batch, total)}; call the feature extractor "
            "with return_attention_mask=True."
        )
    lengths: NDArray[np.int64] = mask.sum(axis=1)
    return lengths


def _offset(options: WhisperOptions, seek: int) -> float:
    return seek * options.time_precision / INPUT_STRIDE


def _clock(plan: TranscriptPlan, options: WhisperOptions, seek: int, num_frames: int) -> WindowClock:
    return WindowClock(
        _offset(options, seek),
        num_frames,
        plan.timestamp_begin,
        options.time_precision,
        options.time_precision_features,
    )


def _answer(
    plan: TranscriptPlan, options: WhisperOptions, segments: list[list[Segment]], result: WindowResult | None
) -> Any:
    """The result in the form that was asked for."""
    if result is None:
        raise InputError("input_features has no frame to transcribe; the attention_mask hides them all.")
    is_one_call = bool(options.force_unique_generate_call)
    if plan.config.return_dict_in_generate and (is_one_call or not plan.has_timestamps):
        return result.whole
    if is_one_call and plan.aligner is None:
        return result.sequences
    kept = [row[len(plan.first_segments) :] for row in segments]
    sequences = _joined([[segment.tokens for segment in row] for row in kept], plan.config.fill_token_id or 0)
    with_segments = options.return_segments or bool(plan.config.return_dict_in_generate)
    if not with_segments and plan.aligner is None:
        return sequences
    answer: dict[str, Any] = {"sequences": sequences}
    if plan.aligner is not None:
        answer["token_timestamps"] = _joined_times(kept)
    if with_segments:
        answer["segments"] = [[segment.to_dict() for segment in row] for row in kept]
    return answer


def _joined(rows: list[list[TokenIds]], fill: int) -> TokenIds:
    """(rows, tokens) int64, filled up on the right."""
    joined = [np.concatenate(row) if row else np.empty(0, dtype=np.int64) for row in rows]
    sequences = np.full((len(rows), max(map(len, joined))), fill, dtype=np.int64)
    for sequence, tokens in zip(sequences, joined, strict=True):
        sequence[: len(tokens)] = tokens
    return sequences


def _joined_times(rows: list[list[Segment]]) -> NDArray[np.float32]:
    """(rows, tokens) float32, filled up with each row's last time; times begin anew with every window."""
    joined = [
        np.concatenate([segment.result["token_timestamps"][slice(*segment.positions)] for segment in row])
        if row
        else np.zeros(0, dtype=np.float32)
        for row in rows
    ]
    times = np.zeros((len(rows), max(map(len, joined))), dtype=np.float32)
    for row, found in zip(times, joined, strict=True):
        row[: len(found)] = found
        row[len(found) :] = found[-1] if len(found) else 0.0
    return times


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first
