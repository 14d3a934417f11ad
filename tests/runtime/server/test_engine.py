"""The engine alone: sequences that join and leave give what generate() gives them one at a time."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from decoder_parity import exported
from transformers import BloomConfig, BloomForCausalLM

from headway.runtime import AutoModelForCausalLM
from headway.runtime.errors import HeadwayError, OptionError
from headway.runtime.generation.config_resolve import resolve_config, resolve_lengths
from headway.runtime.server.engine.engine import GenerationEngine, Ticket, prompt_budget
from headway.runtime.server.engine.requests import Piece, SequenceRequest
from headway.runtime.server.engine.sequence import Sequence
from headway.runtime.server.faults import BusyError, UnavailableError, WorkerDiedError
from headway.runtime.server.settings import EngineSettings


class Letters:
    """A tokenizer that writes a letter for each id."""

    def decode(self, ids, **options):
        return "".join(chr(ord("A") + token % 26) for token in ids)


@pytest.fixture(scope="module")
def shared_model(chat_folder: Path):
    """Rows of its cache share one buffer."""
    return AutoModelForCausalLM.from_pretrained(chat_folder, num_threads=1)


@pytest.fixture(scope="module")
def growing_model(tmp_path_factory: pytest.TempPathFactory):
    """Its graph returns a longer cache, so each sequence has its own."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.6}
    config = BloomConfig(vocab_size=543, eos_token_id=2, pad_token_id=0, **sizes)
    return exported(BloomForCausalLM(config).eval(), tmp_path_factory.mktemp("growing") / "out")


@pytest.fixture(params=["shared", "growing"])
def model(request: pytest.FixtureRequest):
    return request.getfixturevalue(f"{request.param}_model")


class Running:
    """An engine, and what it delivered."""

    def __init__(self, model, **settings) -> None:
        self.model = model
        self.engine = GenerationEngine(model, Letters(), EngineSettings(**settings), "tiny")
        self.delivered: queue.SimpleQueue = queue.SimpleQueue()
        self.log: list[tuple[Ticket, Piece | HeadwayError]] = []
        self.ended: set[Ticket] = set()

    def sequence(self, prompt, max_new_tokens=8, **options) -> Sequence:
        config = resolve_config(self.model.generation_config, max_new_tokens=max_new_tokens, **options)
        ids = np.asarray(prompt, dtype=np.int64)
        return Sequence(SequenceRequest(ids, resolve_lengths(config, len(ids))), Letters())

    def submit(self, *sequences: Sequence) -> Ticket:
        ticket = Ticket(sequences, self.deliver, lambda outcome: None)
        self.engine.submit(ticket)
        return ticket

    def deliver(self, outcomes) -> None:
        self.log += outcomes
        for outcome in outcomes:
            self.delivered.put(outcome)

    def tokens(self, *tickets: Ticket) -> list[list[int]]:
        """New tokens of each ticket's only sequence, once all have ended."""
        while not self.ended.issuperset(tickets):
            ticket, outcome = self.delivered.get(timeout=30)
            if isinstance(outcome, HeadwayError):
                raise outcome
            if outcome.finish_reason is not None:
                self.ended.add(ticket)
        return [[piece.token_id for owner, piece in self.log if owner is ticket] for ticket in tickets]

    def alone(self, prompt, max_new_tokens=8, **options) -> list[int]:
        ids = np.asarray(prompt)[None]
        return self.model.generate(ids, max_new_tokens=max_new_tokens, **options)[0, ids.shape[1] :].tolist()


@pytest.fixture
def start() -> Iterator[type[Running]]:
    started: list[Running] = []

    def begin(model, **settings):
        started.append(Running(model, **settings))
        return started[-1]

    yield begin
    for running in started:
        running.engine.close(10)


def prompts_of(count: int, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(10, 500, generator.integers(1, 60)) for _ in range(count)]


def test_many_sequences_give_what_each_gives_alone(model, start) -> None:
    running = start(model, max_sequences=3, prefill_chunk_tokens=16)
    prompts = prompts_of(10)
    lengths = [3 + 2 * index for index in range(10)]
    tickets = [
        running.submit(running.sequence(prompt, length)) for prompt, length in zip(prompts, lengths, strict=True)
    ]
    expected = [running.alone(prompt, length) for prompt, length in zip(prompts, lengths, strict=True)]
    assert running.tokens(*tickets) == expected


def test_a_seed_draws_the_same_in_any_company(model, start) -> None:
    running = start(model, max_sequences=4)
    options = {"do_sample": True, "temperature": 1.3, "top_k": 0, "seed": 11}
    prompts = prompts_of(5, seed=1)
    tickets = [running.submit(running.sequence(prompt, **options)) for prompt in prompts]
    assert running.tokens(*tickets) == [running.alone(prompt, **options) for prompt in prompts]


def test_sequences_that_come_and_go_at_random(shared_model, start) -> None:
    """Arrivals, cancellations, prompts that begin alike: whoever stays gets the right tokens."""
    running = start(shared_model, max_sequences=4, prefill_chunk_tokens=8)
    generator = np.random.default_rng(5)
    beginning = generator.integers(10, 500, 40)
    kept = []
    for number in range(40):
        own = generator.integers(10, 500, generator.integers(1, 30))
        prompt = np.concatenate([beginning, own]) if number % 3 == 0 else own
        length = int(generator.integers(1, 24))
        ticket = running.submit(running.sequence(prompt, length))
        time.sleep(float(generator.uniform(0, 0.004)))
        if generator.random() < 0.3:
            ticket.cancel()
        else:
            kept.append((ticket, prompt, length))
    expected = [running.alone(prompt, length) for _, prompt, length in kept]
    assert running.tokens(*(ticket for ticket, _, _ in kept)) == expected
    assert running.engine.num_running == running.engine.num_waiting == 0


def test_a_long_prompt_does_not_stall_the_others(shared_model, start) -> None:
    running = start(shared_model, max_sequences=2, prefill_chunk_tokens=8)
    first = running.submit(running.sequence(prompts_of(1)[0], 200))
    running.delivered.get(timeout=30)
    second = running.submit(running.sequence(np.arange(10, 250), 2))
    running.tokens(first, second)
    owners = [owner for owner, _ in running.log]
    begin = len(owners[: owners.index(second)])
    # 240 tokens in chunks of 8: the first one went on while they ran.
    assert begin >= 30


def test_short_prompts_overtake_a_long_one(shared_model, start) -> None:
    running = start(shared_model, max_sequences=3, prefill_chunk_tokens=8)
    busy = running.submit(running.sequence([5, 6, 7], 300))
    running.delivered.get(timeout=30)
    long = running.submit(running.sequence(np.arange(10, 400), 1))
    short = running.submit(running.sequence([8, 9], 1))
    running.tokens(long, short)
    owners = [owner for owner, _ in running.log]
    assert owners.index(short) < owners.index(long)
    busy.cancel()


def test_leaving_frees_the_slot_within_a_step(shared_model, start) -> None:
    running = start(shared_model, max_sequences=1)
    ticket = running.submit(running.sequence([5, 6, 7], 400))
    running.delivered.get(timeout=30)
    ticket.cancel()
    steps = running.engine.num_steps
    while running.engine.num_running:
        assert running.engine.num_steps <= steps + 2
        time.sleep(0.0005)


def test_who_leaves_the_queue_makes_room(shared_model, start) -> None:
    running = start(shared_model, max_sequences=1, max_waiting=2)
    running.submit(running.sequence([5, 6, 7], 400))
    running.delivered.get(timeout=30)
    waiting = [running.submit(running.sequence([8, 9])) for _ in range(2)]
    with pytest.raises(BusyError) as refused:
        running.submit(running.sequence([8, 9]))
    assert refused.value.retry_after_s >= 1
    for ticket in waiting:
        ticket.cancel()
    end = time.monotonic() + 10
    while running.engine.num_waiting and time.monotonic() < end:
        time.sleep(0.001)
    running.submit(running.sequence([8, 9]))


def test_a_shared_beginning_is_not_run_again(shared_model, start) -> None:
    running = start(shared_model, max_sequences=2)
    prompt = np.arange(10, 74)
    first = running.submit(running.sequence(prompt, 4))
    running.tokens(first)
    again = running.submit(running.sequence(np.concatenate([prompt, [5, 6]]), 4))
    assert running.tokens(again) == [running.alone(np.concatenate([prompt, [5, 6]]), 4)]
    assert running.log[-1][1].num_cached_tokens >= 64
    both = running.submit(running.sequence(prompt, 40))
    running.delivered.get(timeout=30)
    # While that one runs, another with its beginning takes it from there.
    beside = running.submit(running.sequence(np.concatenate([prompt, [7]]), 4))
    assert running.tokens(both, beside)[1] == running.alone(np.concatenate([prompt, [7]]), 4)


def test_the_last_tokens_do_not_wait_until_texts_are_kept(shared_model, start, monkeypatch) -> None:
    running = start(shared_model, max_sequences=4)
    delivered: list[int] = []
    close = running.engine._slots.close

    def close_later(slot, *, keep):
        assert keep
        delivered.append(sum(piece.finish_reason is not None for _, piece in running.log))
        close(slot, keep=keep)

    monkeypatch.setattr(running.engine._slots, "close", close_later)
    prompts = prompts_of(3, seed=3)
    tickets = [running.submit(running.sequence(prompt, 1 + index)) for index, prompt in enumerate(prompts)]
    running.tokens(*tickets)
    running.engine.close(10)
    assert delivered == sorted(delivered)
    assert all(number > index for index, number in enumerate(delivered))
    assert len(delivered) == 3


def test_a_step_that_breaks_down_harms_only_who_was_in_it(shared_model, start, monkeypatch) -> None:
    running = start(shared_model, max_sequences=2)
    failures = iter([True])

    def decode(tokens):
        if next(failures, False):
            raise RuntimeError("broken")
        return original(tokens)

    original = running.engine._slots.decode
    monkeypatch.setattr(running.engine._slots, "decode", decode)
    ticket = running.submit(running.sequence([5, 6, 7], 20))
    with pytest.raises(WorkerDiedError):
        running.tokens(ticket)
    assert running.engine.num_deaths == 1
    after = running.submit(running.sequence([5, 6, 7], 20))
    assert running.tokens(after) == [running.alone([5, 6, 7], 20)]


def test_options_that_leave_no_token_harm_only_their_request(shared_model, start) -> None:
    running = start(shared_model, max_sequences=2)
    good = running.submit(running.sequence([5, 6], 12))
    everything = list(range(shared_model.decoder.vocab_size))
    bad = running.submit(running.sequence([5, 6], 12, do_sample=True, suppress_tokens=everything))
    with pytest.raises(OptionError, match="cannot be sampled"):
        running.tokens(bad)
    assert running.tokens(good) == [running.alone([5, 6], 12)]


def test_closing_finishes_what_was_accepted(shared_model, start) -> None:
    running = start(shared_model, max_sequences=2)
    tickets = [running.submit(running.sequence(prompt, 6)) for prompt in prompts_of(5)]
    running.engine.close(30)
    assert [len(tokens) for tokens in running.tokens(*tickets)] == [6] * 5
    with pytest.raises(UnavailableError):
        running.submit(running.sequence([5]))


def test_a_burst_of_prompts_holds_a_running_sequence_up_once(shared_model, start, monkeypatch) -> None:
    """Prompts that arrive while others run are run before the next step, not one a step."""
    running = start(shared_model, max_sequences=4, prefill_chunk_tokens=64)
    first = running.submit(running.sequence([5, 6, 7], 60))
    running.delivered.get(timeout=30)
    extend = running.engine._slots.extend
    late: list[Ticket] = []

    def extend_while_more_come(slot, tokens):
        if len(late) < 2:
            late.append(running.submit(running.sequence(np.arange(20, 40) + len(late), 3)))
        return extend(slot, tokens)

    monkeypatch.setattr(running.engine._slots, "extend", extend_while_more_come)
    second = running.submit(running.sequence(np.arange(10, 30), 3))
    running.tokens(first, second)
    running.tokens(*late)
    owners = [owner for owner, _ in running.log]
    starts = [owners.index(ticket) for ticket in (second, *late)]
    assert len(starts) == 3
    assert first not in owners[min(starts) : max(starts)]


def test_prompts_have_a_budget_beside_running_sequences() -> None:
    assert prompt_budget(1, 7, 64) == prompt_budget(1, 1, 64) == 64
    assert prompt_budget(6, 2, 64) == 192
    assert prompt_budget(100, 1, 64) == prompt_budget(1, 0, 8) == 512
