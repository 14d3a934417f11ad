"""One folder run by Headway, beside what the exporter's own runtime gave."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headway.runtime import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForSpeechSeq2Seq,
)
from headway.runtime.errors import HeadwayError
from headway.runtime.generation.network import batching_of

from .cases import Case
from .request import SAMPLING_RATE, Answer, Request, heard, waveform

_CLASSES: dict[str, Any] = {
    "encoder": AutoModel,
    "classifier": AutoModelForSequenceClassification,
    "causal-lm": AutoModelForCausalLM,
    "seq2seq-lm": AutoModelForSeq2SeqLM,
    "speech-lm": AutoModelForSpeechSeq2Seq,
}


@dataclass(frozen=True)
class Result:
    """How far both sides agree.

    Args:
        passed: whether that is far enough.
        text: the figures, or what went wrong.
        loop: how Headway batches a language model's texts.
    """

    passed: bool
    text: str
    loop: str = ""


def compare(case: Case, request: Request, theirs: Answer) -> Result:
    """Run a folder and compare."""
    try:
        model = _CLASSES[request.kind].from_pretrained(request.folder, dtype=case.dtype, device="cpu", num_threads=1)
    except HeadwayError as error:
        is_expected = case.refusal is not None and case.refusal in str(error)
        return Result(is_expected, f"refused: {error}")
    ours = _answer(model, request)
    difference = max(_difference(*pair) for pair in zip(ours.values, theirs.values, strict=True))
    text = f"largest difference {difference:.1e}"
    passed = difference <= case.difference
    if request.num_tokens:
        same = [_num_common(*pair) for pair in zip(ours.tokens, theirs.tokens, strict=True)]
        text += f", {sum(same)} of {request.num_tokens * len(same)} greedy tokens"
        passed = passed and all(count == request.num_tokens for count in same)
    return Result(passed, text, _loop(model, request))


def _answer(model: Any, request: Request) -> Answer:
    if request.kind == "speech-lm":
        return _transcripts(model, request)
    values, tokens = [], []
    for row in request.rows:
        ids = np.array([row])
        if request.kind == "seq2seq-lm":
            start = np.array([[model.generation_config.decoder_start_token_id]])
            output = model(ids, decoder_input_ids=start)
        else:
            output = model(ids)
        array = output[0][0]
        values.append((array[-1] if request.num_tokens else array).tolist())
        if request.num_tokens:
            tokens.append(_greedy(model, ids, request.num_tokens))
    return Answer(values, tokens)


def _transcripts(model: Any, request: Request) -> Answer:
    extractor, config = AutoFeatureExtractor.from_pretrained(request.folder), model.generation_config
    start = np.array([[config.decoder_start_token_id]])
    values, tokens = [], []
    for row in request.rows:
        samples = np.array(waveform(row), dtype=np.float32)
        features = extractor(samples, sampling_rate=SAMPLING_RATE, return_tensors="np").input_features
        values.append(model(input_features=features, decoder_input_ids=start).logits[0, -1].tolist())
        written = model.generate(input_features=features)[0].tolist()
        tokens.append(heard(written, config.decoder_start_token_id, model.config.eos_token_id, request.num_tokens))
    return Answer(values, tokens)


def _greedy(model: Any, ids: Any, num_tokens: int) -> list[int]:
    lengths = {"max_new_tokens": num_tokens, "min_new_tokens": num_tokens}
    written = model.generate(ids, **lengths, do_sample=False, pad_token_id=0)
    last: list[int] = written[0, -num_tokens:].tolist()
    return last


def _difference(ours: Any, theirs: Any) -> float:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max()) if ours.shape == theirs.shape else float("inf")


def _num_common(ours: list[int], theirs: list[int]) -> int:
    """Tokens up to the first that differs."""
    pairs = zip(ours, theirs, strict=True)
    return next((index for index, (our, their) in enumerate(pairs) if our != their), len(ours))


def _loop(model: Any, request: Request) -> str:
    if request.kind != "causal-lm":
        return ""
    return batching_of(model.session.inputs, model.session.path, model.decoder.facts) or "no cache"
