"""``headway generate``: prompts to text, streamed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from .common_options import add_device_options, add_hub_options, hub_options

HELP = "continue prompts with a language model, or turn texts into texts with an encoder-decoder"

# Command-line option → (option of generate(), type, help).
GENERATION_OPTIONS: Mapping[str, tuple[str, type, str]] = {
    "--max-new-tokens": ("max_new_tokens", int, "most tokens to write (default: the model's, or 256)"),
    "--temperature": ("temperature", float, "sampling temperature; turns sampling on"),
    "--top-k": ("top_k", int, "sample from the N likeliest tokens; turns sampling on"),
    "--top-p": ("top_p", float, "sample from the likeliest tokens that hold this mass; turns sampling on"),
    "--min-p": ("min_p", float, "sample from tokens at least this likely beside the likeliest; turns sampling on"),
    "--repetition-penalty": ("repetition_penalty", float, "divide the scores of tokens already there"),
    "--num-beams": ("num_beams", int, "beams of a beam search"),
    "--seed": ("seed", int, "seed of the sampling"),
    "--prompt-lookup": ("prompt_lookup_num_tokens", int, "tokens drafted from the prompt in each step"),
}
_SAMPLING = ("temperature", "top_k", "top_p", "min_p")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="DIR", help="artifact folder or hub id")
    parser.add_argument("prompts", metavar="PROMPT", nargs="*", help="prompts (default: standard input as one)")
    parser.add_argument("--chat", action="store_true", help="put each prompt into the model's chat template")
    parser.add_argument("--system", metavar="TEXT", help="system message of the chat template; implies --chat")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each prompt, not streamed")
    add_generation_arguments(parser)


def add_generation_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what generate and chat share: options of generate(), and how the model runs."""
    group = parser.add_argument_group("generation")
    for flag, (name, kind, text) in GENERATION_OPTIONS.items():
        group.add_argument(flag, dest=name, type=kind, metavar="N" if kind is int else "X", help=text)
    group.add_argument("--sample", action="store_true", help="sample with the model's own temperature and limits")
    group.add_argument("--stop", action="append", metavar="TEXT", help="end at this text; may be given several times")
    running = parser.add_argument_group("running")
    running.add_argument(
        "--dtype",
        help="precision to load, or two such as int8+q4 for prompt and steps (default: fp32, or the first there is)",
    )
    add_device_options(running)
    add_hub_options(running)


def load_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of ``from_pretrained`` and ``pipeline`` that were given."""
    running = {"device": arguments.device, "dtype": arguments.dtype, "num_threads": arguments.threads}
    return {**hub_options(arguments), **running}


def generation_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of ``generate()`` that were given; greedy unless one asks for sampling."""
    names = [name for name, _, _ in GENERATION_OPTIONS.values()]
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    options["do_sample"] = arguments.sample or any(name in options for name in _SAMPLING)
    if arguments.stop:
        options["stop_strings"] = arguments.stop
    return options


def run(arguments: argparse.Namespace) -> int:
    """Generate, and print the text as it comes."""
    from ..pipelines import pipeline

    prompts = arguments.prompts or [_read_prompt(arguments)]
    generator = pipeline(model=arguments.model, **load_options(arguments))
    options = generation_options(arguments)
    if generator.task == "text-generation":
        options["return_full_text"] = False
    for prompt in prompts:
        item = _chat(prompt, arguments.system) if arguments.chat or arguments.system else prompt
        if arguments.json:
            result = generator(item, **options)
            sys.stdout.write(json.dumps({"prompt": prompt, **result[0]}, ensure_ascii=False) + "\n")
        else:
            _print_streamed(generator, item, options)
    return 0


def _print_streamed(generator: Any, item: Any, options: Mapping[str, Any]) -> None:
    if options.get("num_beams", 1) > 1:
        # A beam search knows its text only at the end.
        sys.stdout.write(next(iter(generator(item, **options)[0].values())) + "\n")
        return
    from ..generation.streamers import TextStreamer

    skip_prompt = generator.task == "text-generation"
    streamer = TextStreamer(generator.tokenizer, skip_prompt=skip_prompt, skip_special_tokens=True)
    generator(item, streamer=streamer, **options)


def _read_prompt(arguments: argparse.Namespace) -> str:
    if sys.stdin is None or sys.stdin.isatty():
        arguments.parser.error("give PROMPT, or a text on standard input")
    return sys.stdin.read()


def _chat(prompt: str, system: str | None) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": prompt}]
