"""Checks that hold or do not: where the nodes run, what they answer, what is copied, what memory does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headway.runtime import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification
from headway.runtime.providers import import_onnxruntime, resolve_providers

from .setting import Setting

# Cosine and share of equal greedy tokens: random float16 models part ways after a tie.
_LEAST_COSINE: Mapping[str, float] = {"fp32": 0.99999, "fp16": 0.999}
_LEAST_EQUAL: Mapping[str, float] = {"fp32": 1.0, "fp16": 0.8}
_MOST_GROWTH_BYTES = 64 << 20
_MEMORY_LIMIT_BYTES = 2 << 30


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Args:
        name: the check.
        passed: whether it holds.
        figures: what was measured.
    """

    name: str
    passed: bool
    figures: Mapping[str, Any] = field(default_factory=dict)


def placement(setting: Setting) -> Outcome:
    """Every node of a fused graph runs on the device, and nothing is copied between them."""
    _, folder = setting.encoder(next(iter(setting.sizes.encoders)))
    ids = setting.ids(2)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    providers = resolve_providers(setting.device)
    nodes = node_providers(folder / "onnx" / "model.onnx", providers, feeds)
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    copies = sum(count for (_, operator), count in nodes.items() if operator.startswith("Memcpy"))
    elsewhere = sum(count for (provider, _), count in nodes.items() if provider != wanted)
    total = sum(nodes.values())
    figures = {"nodes": total, "elsewhere": elsewhere, "copies": copies}
    # Inputs and outputs may be copied; a shape that is computed on the host is no detour.
    return Outcome("placement", total > 0 and copies <= len(feeds) + 1, figures)


def node_providers(path: Path, providers: list[Any], feeds: Mapping[str, Any]) -> Counter[tuple[str, str]]:
    """How often each (provider, operator) ran in one call of a graph, by ONNX Runtime's profile."""
    onnxruntime = import_onnxruntime()
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
        session.run(None, {spec.name: feeds[spec.name] for spec in session.get_inputs()})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs = [event["args"] for event in events if event.get("name", "").endswith("_kernel_time")]
    return Counter((str(run.get("provider")), str(run.get("op_name"))) for run in runs)


def parity(setting: Setting) -> Outcome:
    """Answers of every kind of model are PyTorch's on the same device, batch 1 and 8."""
    figures: dict[str, Any] = {}
    passed = True
    for dtype in setting.dtypes:
        for rows in (1, 8):
            cosine = _encoder_cosine(setting, dtype, rows)
            equal = [_equal_tokens(setting, dtype, rows, is_seq2seq=is_seq2seq) for is_seq2seq in (False, True)]
            figures[f"{dtype}, batch {rows}"] = {"cosine": cosine, "decoder": equal[0], "encoder-decoder": equal[1]}
            passed &= cosine >= _LEAST_COSINE[dtype] and min(equal) >= _LEAST_EQUAL[dtype]
    return Outcome("parity", passed, figures)


def cache_stays(setting: Setting) -> Outcome:
    """Bytes that Python moves in a decode step do not grow with the length."""
    _, folder = setting.decoder()
    decoder: Any = AutoModelForCausalLM.from_pretrained(folder, device=setting.device, tuned=False).decoder
    moved = {}
    for length in (32, 1024):
        cache = decoder.new_cache(2, length + 8)
        scores = decoder.extend(cache, list(setting.ids(2, length)))
        decoder.decode(cache, scores.argmax(-1))
        with bytes_moved() as counted:
            decoder.decode(cache, scores.argmax(-1))
        moved[length] = sum(counted.values())
    is_apart = bool(decoder.place.is_separate) or setting.device == "cpu"
    return Outcome("cache stays on the device", is_apart and len(set(moved.values())) == 1, {"bytes": moved})


@contextlib.contextmanager
def bytes_moved() -> Iterator[Counter[str]]:
    """Count what goes through OrtValues made of arrays, read as arrays, or refilled from them."""
    ort_value = import_onnxruntime().OrtValue
    counted: Counter[str] = Counter()
    make, read, refill = ort_value.ortvalue_from_numpy, ort_value.numpy, ort_value.update_inplace

    def counting_make(array: Any, *place: Any) -> Any:
        counted["made"] += array.nbytes
        return make(array, *place)

    def counting_read(self: Any) -> Any:
        array = read(self)
        counted["read"] += array.nbytes
        return array

    def counting_refill(self: Any, array: Any) -> None:
        counted["refilled"] += array.nbytes
        refill(self, array)

    ort_value.ortvalue_from_numpy = staticmethod(counting_make)
    ort_value.numpy, ort_value.update_inplace = counting_read, counting_refill
    try:
        yield counted
    finally:
        ort_value.ortvalue_from_numpy = staticmethod(make)
        ort_value.numpy, ort_value.update_inplace = read, refill


def soak(setting: Setting) -> Outcome:
    """Two sessions under a memory limit do not grow over many calls with random shapes."""
    _, folder = setting.encoder(next(iter(setting.sizes.encoders)))
    limit = None if setting.device == "cpu" else _MEMORY_LIMIT_BYTES
    load = AutoModelForSequenceClassification.from_pretrained
    models = [load(folder, device=setting.device, tuned=False, memory_limit_bytes=limit) for _ in range(2)]
    random = np.random.default_rng(0)
    largest = max(setting.sizes.batches), setting.sizes.length
    for model in models:
        model(setting.ids(*largest))
    before = used_bytes(setting.device)
    for _ in range(setting.sizes.soak_calls):
        for model in models:
            model(setting.ids(int(random.integers(1, largest[0] + 1)), int(random.integers(1, largest[1] + 1))))
    growth = used_bytes(setting.device) - before
    return Outcome("memory", growth <= _MOST_GROWTH_BYTES, {"calls": setting.sizes.soak_calls, "growth_bytes": growth})


def used_bytes(device: str) -> int:
    """Memory in use: of the device, or of this process where that is the CPU."""
    if device == "cpu":
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import torch

    free, total = torch.cuda.mem_get_info()
    return int(total - free)


_MISSING_LIBRARY = """
import sys
import onnxruntime
from headway.runtime import AutoModelForSequenceClassification
onnxruntime.preload_dlls = lambda: None
try:
    AutoModelForSequenceClassification.from_pretrained(sys.argv[1], device=sys.argv[2], tuned=False)
except Exception as error:
    print(type(error).__name__, error)
else:
    print("loaded")
"""


def missing_library(setting: Setting, library: str = "libcudnn.so.9") -> Outcome:
    """A library that cannot be loaded is named by an error; nothing runs on the CPU in silence."""
    _, folder = setting.encoder(next(iter(setting.sizes.encoders)))
    with tempfile.TemporaryDirectory() as broken:
        (Path(broken) / library).write_bytes(b"")
        environment = {**os.environ, "LD_LIBRARY_PATH": broken}
        command = [sys.executable, "-c", _MISSING_LIBRARY, str(folder), setting.device]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = result.stdout.strip()
    is_named = said.startswith("ProviderError") and library.split(".so")[0] in said
    return Outcome("missing library", is_named, {"said": said[-500:]})


def _encoder_cosine(setting: Setting, dtype: str, rows: int) -> float:
    import torch

    reference, folder = setting.encoder(next(iter(setting.sizes.encoders)))
    ids = setting.ids(rows)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype, device=setting.device)
    got = np.asarray(model(ids).logits, dtype=np.float64).ravel()
    with torch.inference_mode():
        expected = reference(torch.tensor(ids, device=setting.device)).logits.double().cpu().numpy().ravel()
    return float(got @ expected / (np.linalg.norm(got) * np.linalg.norm(expected)))


def _equal_tokens(setting: Setting, dtype: str, rows: int, *, is_seq2seq: bool) -> float:
    """Share of greedy tokens that are PyTorch's."""
    import torch

    reference, folder = setting.seq2seq() if is_seq2seq else setting.decoder()
    load: Any = AutoModelForSeq2SeqLM if is_seq2seq else AutoModelForCausalLM
    model = load.from_pretrained(folder, dtype=dtype, device=setting.device, tuned=False)
    ids = setting.ids(rows, 17)
    count = setting.sizes.new_tokens
    options = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "num_beams": 1}
    got = np.asarray(model.generate(ids, **options))
    given = torch.tensor(ids, device=setting.device)
    with torch.inference_mode():
        expected = reference.generate(given, attention_mask=torch.ones_like(given), **options).cpu().numpy()
    return float((got[:, -count:] == expected[:, -count:]).mean())
