"""Greedy tokens of a real chat model, token for token like transformers', alone, in a ragged batch and step by step."""

import numpy as np
import pytest
import torch
import transformers

from headway.runtime import AutoModelForCausalLM, AutoTokenizer
from headway.runtime.commands.chat import Chat

NEW_TOKENS = 48
PROMPTS = [
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "def fibonacci(n):",
    "Explain gravity to a child in two sentences. Use simple words, and give one example from daily life.",
    "Übersetze ins Englische: Guten Morgen! 🌞",
]


@pytest.fixture(scope="module")
def ours(smollm2_artifact):
    return AutoModelForCausalLM.from_pretrained(smollm2_artifact, device="cpu")


@pytest.fixture(scope="module")
def tokenizer(smollm2_artifact):
    return AutoTokenizer.from_pretrained(smollm2_artifact)


@pytest.fixture(scope="module")
def chats(tokenizer):
    """Token ids of each prompt in the chat template; the lengths differ."""
    return [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)["input_ids"]
        for text in PROMPTS
    ]


@pytest.fixture(scope="module")
def expected(smollm2_checkpoint, chats):
    """What transformers adds to each prompt."""
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm2_checkpoint, dtype=torch.float32)
    return [
        model.generate(torch.tensor([ids]), max_new_tokens=NEW_TOKENS, do_sample=False)[0, len(ids) :].tolist()
        for ids in chats
    ]


def test_each_prompt_alone(ours, chats, expected):
    for ids, wanted in zip(chats, expected, strict=True):
        sequences = ours.generate(np.array([ids]), max_new_tokens=NEW_TOKENS, do_sample=False)
        assert sequences[0].tolist() == ids + wanted


@pytest.mark.parametrize("side", ["left", "right"])
def test_ragged_batch(ours, tokenizer, chats, expected, side):
    batch = tokenizer.pad({"input_ids": chats}, padding_side=side, return_tensors="np")
    sequences = ours.generate(**batch, max_new_tokens=NEW_TOKENS, do_sample=False)
    width = batch["input_ids"].shape[1]
    np.testing.assert_array_equal(sequences[:, :width], batch["input_ids"])
    for row, wanted in zip(sequences[:, width:].tolist(), expected, strict=True):
        assert row == wanted + [tokenizer.pad_token_id] * (len(row) - len(wanted))


@pytest.mark.parametrize("use_cache", [False, True])
def test_the_manual_loop(ours, chats, expected, use_cache):
    num_steps = 12
    ids, past, new = np.array([chats[0]]), None, []
    for _ in range(min(num_steps, len(expected[0]))):
        out = ours(ids[:, -1:], past_key_values=past, use_cache=True) if use_cache and past is not None else ours(ids)
        past = out.past_key_values
        next_id = out.logits[:, -1].argmax(-1)
        new.append(int(next_id[0]))
        ids = np.concatenate([ids, next_id[:, None]], axis=1)
    assert new == expected[0][:num_steps]


def test_prompt_lookup_gives_the_same_tokens(ours, chats, expected):
    for ids, wanted in zip(chats[1:3], expected[1:3], strict=True):
        sequences = ours.generate(
            np.array([ids]), max_new_tokens=NEW_TOKENS, do_sample=False, prompt_lookup_num_tokens=5
        )
        assert sequences[0].tolist() == ids + wanted


def test_the_next_turn_of_a_chat_runs_only_what_is_new(ours, tokenizer, monkeypatch):
    chat = Chat(ours, tokenizer, {"max_new_tokens": 24, "do_sample": False})
    questions = ["What is the capital of France?", "And of Italy?"]
    alone = ["".join(chat.answer(question)) for question in questions]
    history = chat.messages
    num_run = []
    run_block = ours.decoder._run_block

    def counted(cache, block, *rest, **named):
        num_run.append(block.size)
        return run_block(cache, block, *rest, **named)

    monkeypatch.setattr(ours.decoder, "_run_block", counted)
    ours.use_prefix_cache(1 << 28)
    try:
        chat.restart()
        assert ["".join(chat.answer(question)) for question in questions] == alone
        first, second = (
            len(tokenizer.apply_chat_template(history[:end], add_generation_prompt=True)["input_ids"]) for end in (1, 3)
        )
        answer = len(tokenizer(alone[0])["input_ids"])
        assert num_run == [first, second - first - answer]
    finally:
        ours.prefix_cache = None


def test_all_logits_of_a_text(ours, smollm2_checkpoint, chats):
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm2_checkpoint, dtype=torch.float32)
    with torch.no_grad():
        wanted = model(torch.tensor([chats[3]])).logits.numpy()
    logits = ours(np.array([chats[3]])).logits
    assert np.abs(logits - wanted).max() <= 1e-4 * np.abs(wanted).max()
