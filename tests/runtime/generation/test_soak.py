"""Random calls of generate() by the hundred: no crash, flat memory, and the tokens of transformers.

``HEADWAY_SOAK_CALLS=1000`` makes it a thousand.
"""

from __future__ import annotations

import os

import pytest
from generation_calls import RandomCalls
from generation_soak import check_result, letter_tokenizer, resident_bytes, run_call, transformers_rows

from headway.runtime.errors import OptionError

NUM_CALLS = int(os.environ.get("HEADWAY_SOAK_CALLS", "200"))
ALLOWED_GROWTH_BYTES = 4 << 20
DECODERS = {"causal_lm": "tiny_llama", "growing_lm": "tiny_bloom", "recurrent_lm": "tiny_mamba"}
MODELS = {**DECODERS, "t5_lm": "spread_t5", "bart_lm": "tiny_bart"}


@pytest.fixture(scope="module")
def tokenizer():
    return letter_tokenizer()


def test_random_calls_leave_memory_flat_and_never_crash(request, tokenizer):
    models = {name: request.getfixturevalue(name) for name in MODELS}
    calls = RandomCalls(seed=0)
    refusals, after_warm_up = [], 0
    for index in range(NUM_CALLS):
        name = list(models)[index % len(models)]
        call = calls.draw()
        result = run_call(models[name], call, tokenizer)
        if isinstance(result, Exception):
            refusals.append(str(result))
        else:
            check_result(result, call, is_decoder=name in DECODERS)
        if index == NUM_CALLS // 5:
            after_warm_up = resident_bytes()
    assert resident_bytes() - after_warm_up < ALLOWED_GROWTH_BYTES
    assert len(refusals) < NUM_CALLS / 3
    assert not [message for message in refusals if "ONNX Runtime" in message]


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default:UserWarning")
@pytest.mark.filterwarnings("ignore:Unfeasible length constraints:UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_random_calls_give_the_tokens_of_transformers(request, name):
    loaded, model = request.getfixturevalue(name), request.getfixturevalue(MODELS[name])
    calls = RandomCalls(seed=len(name), max_prompt=16, max_new=14)
    num_compared = 0
    for _ in range(NUM_CALLS // 3 // len(MODELS)):
        call = calls.draw_comparable(is_decoder=name in DECODERS)
        width = call.inputs["input_ids"].shape[1] if name in DECODERS else 1
        try:
            ours = loaded.generate(**call.inputs, **call.options)[:, width:].tolist()
        except OptionError:
            continue  # contradictory options
        for row, (got, expected) in enumerate(zip(ours, transformers_rows(model, call), strict=True)):
            # Alone, a row is as long as it needs; in a batch it is filled up to the longest.
            assert got[: len(expected)] == expected, (row, call)
            assert len(set(got[len(expected) :])) <= 1, (row, call)
        num_compared += 1
    assert num_compared > 5
