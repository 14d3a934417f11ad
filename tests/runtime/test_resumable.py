"""An output file taken up after a stop at any moment: no line lost, none repeated."""

import os
from pathlib import Path
from typing import Any

import pytest

from headway.runtime.commands import resumable
from headway.runtime.commands.resumable import ResumableOutput
from headway.runtime.errors import CorruptArtifactError, InputError, OptionError

SETTINGS = {"model": "abc", "task": "embed"}
LINES = [b"one", b"", "drei ü".encode(), b"\xff\xfe", b"five"]


def finish(path: Path, lines: list[bytes] = LINES, settings: dict[str, Any] | None = None, **options: Any) -> int:
    """Run to the end, checking what is done already; returns how many lines were new."""
    with ResumableOutput(path, settings or SETTINGS, **options) as output:
        for number in range(1, output.num_done + 1):
            output.require_same(number, lines[number - 1] if number <= len(lines) else None)
        for content in lines[output.num_done :]:
            output.append(content, f'["result of", {content!r:.20}]')
        return len(lines) - output.num_done


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """What an undisturbed run writes."""
    assert finish(tmp_path / "whole.jsonl") == len(LINES)
    content = (tmp_path / "whole.jsonl").read_bytes()
    assert content.count(b"\n") == len(LINES)
    return content


def test_finished_run_has_nothing_left(tmp_path: Path, whole: bytes) -> None:
    assert finish(tmp_path / "whole.jsonl") == 0
    assert (tmp_path / "whole.jsonl").read_bytes() == whole


def test_stopped_after_any_byte(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state that a kill can leave: each write done in part, in the order they happen."""
    path = tmp_path / "out.jsonl"
    progress = tmp_path / "out.jsonl.progress"
    writes: list[tuple[Path, bytes]] = []
    original = os.write

    def record(descriptor: int, data: Any) -> int:
        writes.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")), bytes(data)))
        return original(descriptor, data)

    monkeypatch.setattr(resumable.os, "write", record)
    finish(path)
    monkeypatch.undo()
    header = progress.read_bytes()[: -8 * len(LINES)]
    assert {target for target, _ in writes} == {path, progress}
    num_states = 0
    for position, (_, data) in enumerate(writes):
        for length in range(len(data)):
            done = {path: b"", progress: header}
            for index, (target, content) in enumerate(writes[: position + 1]):
                done[target] += content if index < position else content[:length]
            for target, content in done.items():
                target.write_bytes(content)
            finish(path)
            assert path.read_bytes() == whole
            num_states += 1
    assert num_states > 100


def test_stopped_before_the_output_is_there(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "out.jsonl"
    ResumableOutput(path, SETTINGS).close()
    path.unlink()
    assert finish(path) == len(LINES)
    assert path.read_bytes() == whole


def test_short_writes_are_continued(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.write
    monkeypatch.setattr(resumable.os, "write", lambda descriptor, data: original(descriptor, data[:3]))
    finish(tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_full_disk(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    original, room = os.write, [45]

    def write_while_there_is_room(descriptor: int, data: Any) -> int:
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        written = original(descriptor, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(resumable.os, "write", write_while_there_is_room)
    with pytest.raises(OSError, match="No space left"):
        finish(path)
    monkeypatch.undo()
    assert not path.read_bytes().endswith(b"\n")
    assert 0 < finish(path) < len(LINES)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("number", [1, 3, 5])
def test_input_that_changed(tmp_path: Path, whole: bytes, number: int) -> None:
    lines = [content + b"!" if index == number else content for index, content in enumerate(LINES, start=1)]
    with pytest.raises(InputError, match=rf"line {number} of the input has changed since .*Pass --restart"):
        finish(tmp_path / "whole.jsonl", lines)
    assert (tmp_path / "whole.jsonl").read_bytes() == whole


def test_input_that_is_shorter(tmp_path: Path, whole: bytes) -> None:
    with pytest.raises(InputError, match="line 5 of the input is gone"):
        finish(tmp_path / "whole.jsonl", LINES[:4])


def test_input_that_has_grown(tmp_path: Path, whole: bytes) -> None:
    assert finish(tmp_path / "whole.jsonl", [*LINES, b"six"]) == 1
    assert (tmp_path / "whole.jsonl").read_bytes().startswith(whole)


def test_other_settings(tmp_path: Path, whole: bytes) -> None:
    with pytest.raises(OptionError, match=r"begun with other settings .task was 'embed' and is 'rerank'"):
        finish(tmp_path / "whole.jsonl", settings={**SETTINGS, "task": "rerank"})
    assert (tmp_path / "whole.jsonl").read_bytes() == whole


def test_restart(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "whole.jsonl"
    assert finish(path, LINES[2:], {"task": "other"}, restart=True) == 3
    assert path.read_bytes().count(b"\n") == 3
    assert finish(path, restart=True) == len(LINES)
    assert path.read_bytes() == whole


def test_file_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("mine\n")
    with pytest.raises(OptionError, match=r"exists, and notes.jsonl.progress, which says how it was made, does not"):
        finish(path)
    assert path.read_text() == "mine\n"
    assert not (tmp_path / "notes.jsonl.progress").exists()


def test_empty_file_is_nobodys(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "out.jsonl").touch()
    finish(tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_output_that_something_else_lengthened(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "whole.jsonl"
    path.write_bytes(whole + b"extra\n")
    with pytest.raises(OptionError, match=r"holds 6 lines and whole.jsonl.progress knows of 5"):
        finish(path)
    assert path.read_bytes() == whole + b"extra\n"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]\n", b"null\n", b"\x00" * 100])
def test_progress_file_that_is_none(tmp_path: Path, whole: bytes, content: bytes) -> None:
    (tmp_path / "whole.jsonl.progress").write_bytes(content)
    with pytest.raises((CorruptArtifactError, OptionError), match="Pass --restart"):
        finish(tmp_path / "whole.jsonl")
    finish(tmp_path / "whole.jsonl", restart=True)
    assert (tmp_path / "whole.jsonl").read_bytes() == whole


def test_two_runs_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with ResumableOutput(path, SETTINGS), pytest.raises(OptionError, match="Another run is writing"):
        ResumableOutput(path, SETTINGS)
    ResumableOutput(path, SETTINGS).close()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is no regular file"):
        finish(tmp_path)
    with pytest.raises(OptionError, match="is not a folder"):
        finish(tmp_path / "missing" / "out.jsonl")


def test_lone_surrogates_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with ResumableOutput(path, SETTINGS) as output:
        output.append(b"x", '"\ud800"')
    assert path.read_bytes() == b'"\\ud800"\n'
