"""Times beside PyTorch on the same device, in one process and in turns."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from headway.runtime import AutoModelForCausalLM, AutoModelForSequenceClassification

from .setting import Setting

_WARM_UP, _ROUNDS = 5, 21
Row = dict[str, Any]

# torch.compile wants a compiler, recording wants every node on the device.
_COMPILED, _GRAPHS, _RECORDED = "torch.compile, ms", "CUDA graphs, ms", "Headway, steps recorded, ms"
_MAY_FAIL = (_COMPILED, _GRAPHS, _RECORDED)


def encoder_rows(setting: Setting) -> list[Row]:
    """Milliseconds of a call of each encoder: PyTorch eager, torch.compile, CUDA graphs, Headway."""
    rows = []
    for name in setting.sizes.encoders:
        for dtype in setting.dtypes:
            for batch in setting.sizes.batches:
                times = medians_ms(_encoder_calls(setting, name, dtype, batch), setting.device)
                rows.append({"workload": f"{name} {batch}x{setting.sizes.length}", "precision": dtype, **times})
    return rows


def decoder_rows(setting: Setting) -> list[Row]:
    """Milliseconds of a step of the large decoder: PyTorch eager, Headway with steps recorded and not."""
    rows = []
    for dtype in setting.dtypes:
        for batch in setting.sizes.batches:
            times = medians_ms(_decoder_calls(setting, dtype, batch), setting.device)
            rows.append({"workload": f"decoder step, batch {batch}", "precision": dtype, **times})
    return rows


def medians_ms(calls: Mapping[str, Callable[[], Any]], device: str, rounds: int = _ROUNDS) -> dict[str, float | None]:
    """Median milliseconds of each call, in turns; None for one that cannot run here."""
    able = {name: call for name, call in calls.items() if _warms_up(name, call)}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in able.items():
            times[name].append(_seconds(call, device))
    return {name: statistics.median(values) * 1e3 if values else None for name, values in times.items()}


def _warms_up(name: str, call: Callable[[], Any]) -> bool:
    """Whether a call runs; what must run raises."""
    try:
        for _ in range(_WARM_UP):
            call()
    except Exception as error:
        if name not in _MAY_FAIL:
            raise
        print(f"{name} does not run here: {str(error)[:200]}", file=sys.stderr)
        return False
    return True


def _seconds(call: Callable[[], Any], device: str) -> float:
    import torch

    if device == "cpu":
        began = time.perf_counter()
        call()
        return time.perf_counter() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def _encoder_calls(setting: Setting, name: str, dtype: str, batch: int) -> dict[str, Callable[[], Any]]:
    import torch

    reference, folder = setting.encoder(name)
    reference = reference.to(_torch_dtype(dtype))
    ids = setting.ids(batch)
    given = torch.tensor(ids, device=setting.device)
    mask = torch.ones_like(given)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype, device=setting.device, tuned=False)
    feeds = model.prepare_feeds({"input_ids": ids})

    def torch_call(module: Any) -> Callable[[], Any]:
        def call() -> Any:
            with torch.inference_mode():
                return module(given, attention_mask=mask).logits.float().cpu()

        return call

    calls = {"PyTorch, ms": torch_call(reference)}
    if setting.device != "cpu":
        calls[_COMPILED] = torch_call(torch.compile(reference))
        calls[_GRAPHS] = torch_call(torch.compile(reference, mode="reduce-overhead"))
    return {**calls, "Headway, ms": lambda: model.session.run(feeds)}


def _decoder_calls(setting: Setting, dtype: str, batch: int) -> dict[str, Callable[[], Any]]:
    import torch

    reference, folder = setting.decoder(large=True)
    reference = reference.to(_torch_dtype(dtype))
    prompts = setting.ids(batch, 32)
    with torch.inference_mode():
        past = reference(torch.tensor(prompts, device=setting.device), use_cache=True).past_key_values
    token = torch.tensor(prompts[:, -1:], device=setting.device)

    def torch_step() -> Any:
        with torch.inference_mode():
            logits = reference(token, past_key_values=past, use_cache=True).logits.float().cpu()
            past.crop(-1)
        return logits

    calls = {"PyTorch, ms": torch_step}
    for name, recorded in (("Headway, ms", False), (_RECORDED, True)):
        if recorded and setting.device == "cpu":
            continue
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, device=setting.device, tuned=False, cuda_graph=recorded
        )
        calls[name] = _headway_step(model.decoder, prompts)
    return calls


def _headway_step(decoder: Any, prompts: np.ndarray[Any, Any]) -> Callable[[], Any]:
    cache = decoder.new_cache(len(prompts), 64)
    decoder.extend(cache, list(prompts))

    def step() -> Any:
        scores = decoder.decode(cache, prompts[:, -1])
        for row in range(len(prompts)):
            cache.truncate(row, prompts.shape[1])
        return scores

    return step


def _torch_dtype(dtype: str) -> Any:
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16}[dtype]
