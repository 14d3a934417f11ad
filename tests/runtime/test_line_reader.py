"""Lines from files and pipes, whole or in bursts."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headway.runtime.commands import line_reader
from headway.runtime.commands.line_reader import Line, LineReader


@pytest.fixture
def reader_of(tmp_path: Path) -> Iterator[Callable[[bytes], LineReader]]:
    descriptors = []

    def make(content: bytes) -> LineReader:
        (tmp_path / "input").write_bytes(content)
        descriptors.append(os.open(tmp_path / "input", os.O_RDONLY))
        return LineReader(descriptors[-1])

    yield make
    for descriptor in descriptors:
        os.close(descriptor)


def all_lines(reader: LineReader) -> list[Line]:
    return [line for burst in reader.bursts() for line in burst]


@pytest.mark.parametrize("block_bytes", [1, 2, 7, 1 << 16])
def test_lines(reader_of: Callable[[bytes], LineReader], monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    monkeypatch.setattr(line_reader, "_BLOCK_BYTES", block_bytes)
    content = b"one\r\ntwo\n\n\xff \x0b\xe2\x80\xa8\x85\rfive"
    expected = [b"one", b"two", b"", b"\xff \x0b\xe2\x80\xa8\x85\rfive"]
    assert all_lines(reader_of(content)) == [Line(number, text) for number, text in enumerate(expected, start=1)]
    assert all_lines(reader_of(content + b"\n")) == all_lines(reader_of(content))
    assert all_lines(reader_of(b"")) == []
    assert all_lines(reader_of(b"\n")) == [Line(1, b"")]


def test_a_file_is_one_burst(reader_of: Callable[[bytes], LineReader]) -> None:
    assert [len(list(burst)) for burst in reader_of(b"x\n" * 100_000).bursts()] == [100_000]


@pytest.mark.parametrize("block_bytes", [3, 1 << 16])
def test_lines_that_are_too_long(
    reader_of: Callable[[bytes], LineReader], monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(line_reader, "MAX_LINE_BYTES", 10)
    monkeypatch.setattr(line_reader, "_BLOCK_BYTES", block_bytes)
    lines = all_lines(reader_of(b"1234567890\n" + b"x" * 25 + b"\nlast\n" + b"y" * 30))
    assert [(line.number, line.is_whole, len(line.content)) for line in lines] == [
        (1, True, 10),
        (2, False, 10),
        (3, True, 4),
        (4, False, 10),
    ]


def test_peek(reader_of: Callable[[bytes], LineReader]) -> None:
    reader = reader_of(b"one\ntwo\n")
    assert reader.peek() == reader.peek() == reader.next() == Line(1, b"one")
    assert (reader.next(), reader.peek(), reader.next()) == (Line(2, b"two"), None, None)


def test_bursts_of_a_pipe() -> None:
    reading, writing = os.pipe()
    steps = [b"a\nb\nhalf", b" a line\nc\n", b"d"]

    def write() -> None:
        for step in steps:
            os.write(writing, step)
            time.sleep(line_reader.PATIENCE_S * 6)
        os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    bursts = [[line.content for line in burst] for burst in LineReader(reading).bursts()]
    thread.join()
    os.close(reading)
    assert bursts == [[b"a", b"b"], [b"half a line", b"c"], [b"d"]]
