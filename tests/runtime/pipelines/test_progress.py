from types import SimpleNamespace

import pytest

from headway.runtime import progress_bar
from headway.runtime.pipelines.progress import Progress


def work(progress: Progress) -> None:
    with progress:
        for _ in range(2):
            progress.begin_window(10)
            progress.expect(40)
            for _ in range(4):
                progress.advance(10)
            progress.end_window()


def test_a_bar_counts_items_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    work(Progress(20, show=True))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "20/20" in captured.err


@pytest.mark.parametrize("show", [False, None])
def test_no_bar_where_none_is_asked_for(capsys: pytest.CaptureFixture[str], show: bool | None) -> None:
    work(Progress(20, show))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_after_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress_bar, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    progress = Progress(30, show=None)
    work(progress)
    assert capsys.readouterr().err == ""
    clock[0] += 1.5
    with progress:
        progress.begin_window(10)
        progress.advance(5)
    assert "25/30" in capsys.readouterr().err


@pytest.mark.parametrize("unit", ["image", "recording"])
def test_a_bar_says_what_it_counts(capsys: pytest.CaptureFixture[str], unit: str) -> None:
    work(Progress(20, True, unit))
    assert unit in capsys.readouterr().err
