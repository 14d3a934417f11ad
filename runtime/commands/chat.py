"""``headway chat``: a conversation in the terminal. Ctrl-C stops an answer, Ctrl-D ends the conversation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from .common_options import hub_options
from .generate import add_generation_arguments, generation_options, load_options

HELP = "talk to a chat model; Ctrl-C stops an answer, Ctrl-D ends"

_COMMANDS = "/new starts again, /quit ends, Ctrl-C stops an answer"
_DEFAULT_NEW_TOKENS = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="DIR", help="artifact folder or hub id")
    parser.add_argument("--system", metavar="TEXT", help="system message")
    parser.add_argument("--cache-mb", type=int, default=512, metavar="N", help="memory kept for turns (default: 512)")
    add_generation_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read lines from standard input and answer each until it ends."""
    from .. import AutoModelForCausalLM, AutoTokenizer

    options = load_options(arguments)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model, **hub_options(arguments))
    model = AutoModelForCausalLM.from_pretrained(arguments.model, **options)
    # The next turn begins with this one: only what is new runs.
    model.use_prefix_cache(arguments.cache_mb << 20)
    chat = Chat(model, tokenizer, generation_options(arguments), arguments.system)
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        sys.stderr.write(f"{arguments.model}. {_COMMANDS}.\n")
    for line in _lines(is_terminal):
        if line == "/quit":
            break
        if line == "/new":
            chat.restart()
        elif line:
            _print_answer(chat, line)
    return 0


class Chat:
    """A conversation: its messages, and the model that answers.

    Args:
        model: an ``AutoModelForCausalLM``.
        tokenizer: its tokenizer, with a chat template.
        options: of ``generate()``.
        system: a system message, or None.
    """

    def __init__(self, model: Any, tokenizer: Any, options: dict[str, Any], system: str | None = None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.options = dict(options)
        if model.generation_config.max_new_tokens is None and model.generation_config.max_length is None:
            self.options.setdefault("max_new_tokens", _DEFAULT_NEW_TOKENS)
        self._system = system
        self.messages: list[dict[str, str]] = []
        self.restart()

    def restart(self) -> None:
        """Forget everything but the system message."""
        self.messages = [{"role": "system", "content": self._system}] if self._system else []

    def answer(self, text: str) -> Iterator[str]:
        """Say something, and yield the answer piece by piece.

        Leaving early, or an interruption, stops the generation; what came until then stays in the conversation.
        """
        from ..generation.streamers import TextIteratorStreamer, stream_in_background

        self.messages.append({"role": "user", "content": text})
        inputs = self.tokenizer.apply_chat_template(self.messages, add_generation_prompt=True, return_tensors="np")
        stops = self.options.get("stop_strings") or ()
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, stop_strings=stops, skip_special_tokens=True)
        pieces: list[str] = []

        def generate(sink: TextIteratorStreamer) -> None:
            self.model.generate(**inputs, streamer=sink, tokenizer=self.tokenizer, **self.options)

        try:
            for piece in stream_in_background(generate, streamer):
                pieces.append(piece)
                yield piece
        finally:
            self.messages.append({"role": "assistant", "content": "".join(pieces)})


def _print_answer(chat: Chat, text: str) -> None:
    from ..errors import HeadwayError

    pieces = chat.answer(text)
    try:
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
    except KeyboardInterrupt as interruption:
        from ..cli import Terminated

        if isinstance(interruption, Terminated):
            raise
        sys.stdout.write(" …")
    except HeadwayError as error:
        sys.stderr.write(f"headway: {' '.join(str(error).split())}\n")
    finally:
        pieces.close()  # type: ignore[attr-defined]
    sys.stdout.write("\n")
    sys.stdout.flush()


def _lines(is_terminal: bool) -> Iterator[str]:
    """Lines the user types, with a prompt on a terminal; Ctrl-C clears the line."""
    if is_terminal:
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401
    while True:
        try:
            yield (input("> ") if is_terminal else _next_line()).strip()
        except EOFError:
            return
        except KeyboardInterrupt as interruption:
            from ..cli import Terminated

            if isinstance(interruption, Terminated) or not is_terminal:
                raise
            sys.stderr.write("\n")


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
