"""The engine: one thread that runs a decoder for every request at once.

Between two steps sequences join (a slot of the cache is free), run a piece of their prompt, and leave (they ended, or
their client did). Other threads only put requests in and get pieces out.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Sequence as ListOf
from dataclasses import dataclass
from typing import Any

from ...errors import HeadwayError
from ...generation.decoder import PREFILL_CHUNK_TOKENS
from ...generation.prefix_cache import PrefixCache
from ..settings import EngineSettings
from ..turns import Deliver, TurnThread
from .requests import Piece
from .sequence import Sequence
from .slots import Slots, open_slots

Outcome = Piece | HeadwayError


class Ticket:
    """One request's sequences in the engine.

    Args:
        sequences: fresh ones.
        deliver: takes what the engine has for tickets, called in the engine's thread.
        receive: takes what is for this ticket, called by ``deliver`` where results belong.
    """

    def __init__(self, sequences: Iterable[Sequence], deliver: Deliver, receive: Callable[[Outcome], None]) -> None:
        self.sequences = tuple(sequences)
        self.receive = receive
        self.deliver = deliver
        self.is_cancelled = False

    def cancel(self) -> None:
        """Leave: its sequences give their slots back before the next step."""
        self.is_cancelled = True


def prompt_budget(num_prompts: int, num_ready: int, chunk_tokens: int) -> int:
    """Prompt tokens that run before the next step: many prompts hold a few sequences up once, not again and again.

    Args:
        num_prompts: prompts that have not run.
        num_ready: sequences that wait for their next token meanwhile.
        chunk_tokens: of one prompt against one sequence.

    >>> prompt_budget(1, 7, 64), prompt_budget(7, 1, 64), prompt_budget(7, 0, 64)
    (64, 448, 512)
    """
    if not num_ready:
        return PREFILL_CHUNK_TOKENS
    return max(chunk_tokens, min(PREFILL_CHUNK_TOKENS, chunk_tokens * num_prompts // num_ready))


@dataclass(frozen=True, eq=False)
class _Entry:
    """A sequence and the request it belongs to."""

    ticket: Ticket
    sequence: Sequence


class GenerationEngine(TurnThread[_Entry]):
    """Runs sequences of many requests on one decoder.

    Args:
        model: an ``AutoModelForCausalLM``.
        tokenizer: its tokenizer.
        settings: limits.
        name: the model's, for the thread and messages.
    """

    def __init__(self, model: Any, tokenizer: Any, settings: EngineSettings, name: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings
        self.prefix_cache = PrefixCache(settings.prefix_cache_bytes) if settings.prefix_cache_bytes else None
        self.num_steps = 0
        self._running: list[_Entry] = []
        self._ended_slots: list[int] = []
        self._rotation = itertools.count()
        self._slots = self._new_slots()
        super().__init__(name, f"headway-engine-{name}")

    @property
    def num_running(self) -> int:
        """Sequences that hold a slot."""
        return len(self._running)

    def submit(self, ticket: Ticket) -> None:
        """Queue a request's sequences.

        Raises:
            BusyError: too many wait already.
            UnavailableError: the engine is closing.
        """
        retry_after_s = 1 + self.num_waiting // self.settings.max_sequences
        entries = [_Entry(ticket, sequence) for sequence in ticket.sequences]
        self._put(entries, self.settings.max_waiting, "sequences", retry_after_s)

    def _turn(self) -> None:
        self._run_prompts()
        self._decode()
        self._post_and_close()
        self.num_steps += 1

    def _post_and_close(self) -> None:
        """Hand over what there is, and only then keep what ended for later prompts: nobody waits for the copying."""
        self._post()
        while self._ended_slots:
            self._slots.close(self._ended_slots.pop(), keep=True)

    def _leave(self) -> None:
        """Forget requests whose client has gone, and free their slots."""
        if any(entry.ticket.is_cancelled for entry in tuple(self._waiting)):
            with self._arrived:
                self._waiting = deque(entry for entry in self._waiting if not entry.ticket.is_cancelled)
        for entry in [entry for entry in self._running if entry.ticket.is_cancelled]:
            self._drop(entry)

    def _join(self) -> None:
        """Give free slots to the sequences that wait longest."""
        while self._slots.num_free:
            entry = self._take()
            if entry is None:
                break
            sequence = entry.sequence
            sequence.leave_queue()
            sequence.slot, sequence.num_cached_tokens = self._slots.open(sequence.request.prompt_ids)
            sequence.num_prefilled_tokens = sequence.num_cached_tokens
            self._running.append(entry)
        else:
            return
        moved = self._slots.compact()
        for entry in self._running:
            entry.sequence.slot = moved.get(entry.sequence.slot, entry.sequence.slot)

    def _run_prompts(self) -> None:
        """Run pieces of prompts, also of those that come meanwhile, until the others have waited enough."""
        num_ready = sum(entry.sequence.is_prefilled for entry in self._running)
        num_prompts = num_tokens = 0
        while True:
            self._leave()
            self._join()
            incomplete = [entry for entry in self._running if not entry.sequence.is_prefilled]
            num_prompts = max(num_prompts, len(self._running) - num_ready)
            budget = prompt_budget(num_prompts, num_ready, self.settings.prefill_chunk_tokens) - num_tokens
            if not incomplete or budget <= 0:
                return
            num_tokens += self._prefill(incomplete, budget)
            self._post_and_close()
            # Whoever has begun waits for its next token now, so a long prompt that comes is cut from here on.
            num_ready = max(num_ready, 1)

    def _prefill(self, incomplete: ListOf[_Entry], max_tokens: int) -> int:
        """Run a piece of the prompts that are not complete, taking turns; how many tokens that was."""
        num_tokens = 0
        start = next(self._rotation) % len(incomplete)
        for entry in (*incomplete[start:], *incomplete[:start]):
            sequence = entry.sequence
            chunk = sequence.next_chunk(max_tokens - num_tokens)
            try:
                logits = self._slots.extend(sequence.slot, chunk)
            except HeadwayError as error:
                self._refuse(entry, error)
                continue
            sequence.num_prefilled_tokens += len(chunk)
            num_tokens += len(chunk)
            if sequence.is_prefilled:
                self._advance(entry, logits)
            if num_tokens >= max_tokens:
                break
        return num_tokens

    def _decode(self) -> None:
        """One token for every sequence whose prompt has run before this step."""
        ready = [entry for entry in self._running if entry.sequence.is_prefilled]
        if not ready:
            return
        logits = self._slots.decode({entry.sequence.slot: entry.sequence.last_token for entry in ready})
        for entry in ready:
            self._advance(entry, logits[entry.sequence.slot])

    def _advance(self, entry: _Entry, logits: Any) -> None:
        try:
            piece = entry.sequence.advance(logits)
        except HeadwayError as error:
            # Options that leave no token to choose: the request's own fault, and nobody else's.
            self._refuse(entry, error)
            return
        self._outbox.append((entry.ticket, piece))
        if piece.finish_reason is not None:
            self._running.remove(entry)
            self._ended_slots.append(entry.sequence.slot)

    def _drop(self, entry: _Entry) -> None:
        self._running.remove(entry)
        self._slots.close(entry.sequence.slot, keep=False)

    def _refuse(self, entry: _Entry, error: HeadwayError) -> None:
        """End one request with an error; the others go on."""
        self._outbox.append((entry.ticket, error))
        entry.ticket.cancel()
        self._drop(entry)

    def _give_up(self) -> Iterable[Ticket]:
        """A step broke down: forget those that were in it, and go on with an empty cache."""
        tickets = dict.fromkeys(entry.ticket for entry in self._running)
        for ticket in tickets:
            ticket.cancel()
        self._running, self._ended_slots = [], []
        self._slots = self._new_slots()
        return tickets

    def _owners(self) -> Iterable[Ticket]:
        return (entry.ticket for entry in (*self._waiting, *self._running))

    def _new_slots(self) -> Slots:
        return open_slots(self.model.decoder, self.settings.max_sequences, self.prefix_cache)
