"""The command line as a whole: exit status, one line of error, pipes and signals."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headway.runtime import cli
from headway.runtime.cli import COMMANDS, main
from headway.runtime.errors import OptionError

HEADWAY = [sys.executable, "-c", "import sys; from headway.runtime.cli import main; sys.exit(main())"]


def with_failure(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    """Make `headway inspect` raise."""

    def run(arguments: Namespace) -> int:
        raise failure

    monkeypatch.setattr("headway.runtime.commands.inspect.run", run)


@pytest.mark.parametrize(
    ("failure", "status", "line"),
    [
        (OptionError("one\n  two"), 1, "headway: one two\n"),
        (FileNotFoundError(2, "No such file", "x"), 1, "headway: [Errno 2] No such file: 'x'\n"),
        (KeyboardInterrupt(), 130, "headway: interrupted\n"),
        (cli.Terminated(), 143, "headway: terminated\n"),
        (RuntimeError("bug"), 1, "headway: unexpected RuntimeError: bug. Run again with --debug for the traceback.\n"),
    ],
)
def test_failures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: BaseException, status: int, line: str
) -> None:
    with_failure(monkeypatch, failure)
    assert main(["inspect", "x"]) == status
    assert capsys.readouterr() == ("", line)
    for argv in (["--debug", "inspect", "x"], ["inspect", "x", "--debug"]):
        with pytest.raises(type(failure)):
            main(argv)


def test_missing_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(arguments: Namespace) -> int:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("headway.export.cli.run", run)
    assert main(["export", "a", "b"]) == 1
    assert capsys.readouterr().err == "headway: `headway export` needs torch. Install headway[export].\n"


@pytest.mark.parametrize(
    "argv", [[], ["fly"], ["inspect"], ["inspect", "a", "b"], ["run", "a", "b", "--no-such-option"]]
)
def test_usage(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage: headway" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"usage: headway {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert command in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "texts"),
    [
        (["DIR", "a", "b"], ["a", "b"]),
        (["DIR", "--json", "a", "b"], ["a", "b"]),
        (["DIR", "a", "--json", "b"], ["a", "b"]),
        (["--json", "DIR", "a"], ["a"]),
        (["DIR", "--json", "--", "--a", "b"], ["--a", "b"]),
        (["DIR", "a", "--", "-b"], ["a", "-b"]),
        (["DIR"], []),
    ],
)
def test_texts_before_and_after_options(monkeypatch: pytest.MonkeyPatch, argv: list[str], texts: list[str]) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("headway.runtime.commands.run.run", lambda arguments: seen.append(arguments.texts) or 0)
    assert main(["run", *argv]) == 0
    assert seen == [texts]


@pytest.mark.parametrize(
    ("options", "lines"), [([], ["headway: chosen"]), (["--verbose"], ["headway: fyi", "headway: chosen"])]
)
def test_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], lines: list[str]
) -> None:
    logger = logging.getLogger("headway")
    before = (logger.level, list(logger.handlers))

    def run(arguments: Namespace) -> int:
        logger.info("fyi")
        logger.warning("chosen")
        return 0

    monkeypatch.setattr("headway.runtime.commands.inspect.run", run)
    assert main(["inspect", "x", *options]) == 0
    assert capsys.readouterr().err.splitlines() == lines
    assert (logger.level, logger.handlers) == before


def test_called_in_a_thread(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status: list[int] = []
    thread = threading.Thread(target=lambda: status.append(main(["inspect", str(classifier)])))
    thread.start()
    thread.join()
    assert status == [0]


def test_signal_handlers_are_put_back(classifier: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["inspect", str(classifier)])
    assert signal.getsignal(signal.SIGTERM) is before


def test_reader_that_leaves(classifier: Path, tmp_path: Path) -> None:
    texts = tmp_path / "in.txt"
    texts.write_text("good film\n" * 20_000)
    process = subprocess.Popen(
        [*HEADWAY, "run", str(classifier), "--input", str(texts)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"label" in process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), errors) == (0, b"")


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [(signal.SIGINT, 130, "headway: interrupted"), (signal.SIGTERM, 143, "headway: terminated")],
)
def test_signals(classifier: Path, tmp_path: Path, number: signal.Signals, status: int, line: str) -> None:
    output = tmp_path / "out.jsonl"
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*HEADWAY, "run", str(classifier), "--input", "-", "--output", str(output)],
        stdin=reading,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background has SIGINT ignored, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(reading)
    try:
        os.write(writing, b"good film\nbad film\n")
        wait_until(lambda: output.exists() and output.stat().st_size > 0)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(writing)
    assert (process.returncode, errors.splitlines()) == (status, [line])
    assert output.read_bytes().endswith(b"\n")


def test_import_is_fast_and_light() -> None:
    program = "import sys; from headway.runtime import cli; cli._parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"onnxruntime", "huggingface_hub", "tokenizers", "torch", "transformers"} & set(loaded)
