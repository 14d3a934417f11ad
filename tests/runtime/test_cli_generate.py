"""``headway generate`` and ``headway chat``, in processes of their own as a user runs them."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEADWAY = str(Path(sys.executable).with_name("headway"))


def headway(*arguments, **options):
    return subprocess.run([HEADWAY, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


def test_generate_streams_the_continuation(smollm2_artifact):
    done = headway("generate", smollm2_artifact, "The capital of France is", "--max-new-tokens", 4)
    assert (done.returncode, done.stdout) == (0, " Paris.\n\n\n")


def test_generate_reads_standard_input_and_prints_json(smollm2_artifact):
    arguments = ("--chat", "--json", "--max-new-tokens", 20)
    done = headway("generate", smollm2_artifact, *arguments, input="What is the capital of France?")
    assert json.loads(done.stdout)["generated_text"] == "The capital of France is Paris."


def test_generate_takes_beams_and_stop_texts(smollm2_artifact):
    done = headway("generate", smollm2_artifact, "One, two, three,", "--num-beams", 2, "--stop", "eight")
    assert done.stdout.rstrip().endswith("eight")


def test_an_option_out_of_range_is_one_line(smollm2_artifact):
    done = headway("generate", smollm2_artifact, "Hello", "--top-p", 3)
    assert done.returncode == 1
    assert re.fullmatch(r"headway: .*top_p.*\n", done.stderr)


def test_chat_remembers_the_conversation(smollm2_artifact):
    done = headway("chat", smollm2_artifact, input="What is the capital of France?\nAnd of Italy?\n/quit\n")
    assert done.returncode == 0
    assert done.stdout == "The capital of France is Paris.\nThe capital of Italy is Rome.\n"


def test_control_c_stops_the_answer_and_not_the_program(smollm2_artifact):
    process, terminal = _start_chat(smollm2_artifact)
    try:
        _read_until(terminal, b"> ")
        os.write(terminal, b"Write a long story about a ship.\n")
        _read_until(terminal, b"ship.\r\n")
        _read_until(terminal, b" ")
        process.send_signal(signal.SIGINT)
        _read_until(terminal, b"> ")
        os.write(terminal, b"/new\n")
        _read_until(terminal, b"> ")
        os.write(terminal, b"What is the capital of France?\n")
        _read_until(terminal, b"Paris.")
        os.write(terminal, b"/quit\n")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        os.close(terminal)


def _start_chat(artifact):
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [HEADWAY, "chat", str(artifact)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        # A suite that runs in the background has SIGINT ignored, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    return process, terminal


def _read_until(terminal, wanted, timeout_s=90):
    seen = b""
    deadline = time.monotonic() + timeout_s
    while wanted not in seen:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            pytest.fail(f"{wanted!r} did not come within {timeout_s} s; got {seen!r}")
        seen += os.read(terminal, 4096)
    return seen
