"""Engines that take turns: who may, who cannot, and what is recorded of them; no peer is installed for it."""

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from headway.benchmarks import contest as contest_module
from headway.benchmarks.contest import Case, Contest, by_group
from headway.benchmarks.peers import environments
from headway.benchmarks.peers import worker as worker_module
from headway.benchmarks.peers.catalogue import CLASSIFIERS, DECODERS, EMBEDDERS, Peer, choose
from headway.benchmarks.peers.engine import Engine, Settings
from headway.benchmarks.peers.environments import ENVIRONMENTS, PeerUnavailableError
from headway.benchmarks.peers.scoring import next_token_log_probabilities
from headway.benchmarks.peers.serve import measured
from headway.benchmarks.peers.worker import Worker
from headway.benchmarks.statistics import percentile, ratio, round_ratios, summary, without_prefill
from headway.benchmarks.workloads.records import contest_record
from headway.runtime.errors import OptionError

SETTINGS = Settings(Path("checkpoint"), Path("work"), Path("artifact"), threads=2)
PEERS = [
    Peer("Headway fp32", "headway_engine", is_ours=True),
    Peer("PyTorch fp32", "pytorch_engine"),
    Peer("elsewhere", "other_engine", environment="elsewhere", cases=["short"]),
]
CASES = [Case("short", {"ids": [[1]]}, calls=2, uncounted=1), Case("long", {"ids": [[1, 2]]}, rounds=1)]


class FakeWorker:
    """Takes as many seconds as its module's name has letters."""

    log: ClassVar[list[str]] = []

    def __init__(self, python: Path, module: str, kind: str, settings: Settings) -> None:
        self.module, self.facts = module, {"load_s": 0.5}

    def measure(self, request: Mapping[str, Any], calls: int = 1, uncounted: int = 0, **more: Any) -> dict[str, Any]:
        if self.module == "other_engine" and len(self.log) > 6:
            raise PeerUnavailableError("it ended with status -11")
        self.log.append(self.module)
        return {"seconds": [float(len(self.module))] * calls, "result": request["ids"], "peak_memory_bytes": 1_000_000}

    def close(self) -> None:
        pass


@pytest.fixture
def fake_workers(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    monkeypatch.setattr(contest_module, "Worker", FakeWorker)
    monkeypatch.setattr(contest_module, "environment_python", lambda name: Path(sys.executable))
    monkeypatch.setattr(contest_module, "_PAUSE_S", 0)
    FakeWorker.log = []
    return FakeWorker


def test_engines_take_turns_and_one_that_dies_leaves(fake_workers: type[FakeWorker]) -> None:
    with Contest(PEERS, "classifier", lambda peer: SETTINGS) as contest:
        assert contest.ask_all(CASES[0]) == {peer.name: [[1]] for peer in PEERS}
        contest.take_turns(CASES, rounds=3)
    seconds = contest.outcome.seconds
    assert seconds["short"]["Headway fp32"] == [[14.0, 14.0]] * 3
    assert seconds["long"] == {"Headway fp32": [[14.0]], "PyTorch fp32": [[14.0]]}
    assert contest.outcome.unavailable == {"elsewhere": "it ended with status -11"}
    # Every other round the order is reversed: nobody always follows the same engine.
    assert fake_workers.log[3:8] == ["headway_engine", "pytorch_engine", "other_engine", *fake_workers.log[:2]]
    assert fake_workers.log[8:10] == ["pytorch_engine", "headway_engine"]


def test_a_peer_that_cannot_be_installed_is_named_with_the_reason(
    fake_workers: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> Path:
        raise PeerUnavailableError("pip: no matching distribution")

    monkeypatch.setattr(contest_module, "environment_python", refuse)
    with Contest(PEERS, "classifier", lambda peer: SETTINGS) as contest:
        contest.take_turns(CASES[:1], rounds=1)
    assert contest.outcome.unavailable == {"elsewhere": "pip: no matching distribution"}
    assert list(contest.outcome.seconds["short"]) == ["Headway fp32", "PyTorch fp32"]


def test_the_record_holds_every_call_and_the_ratio_to_headway(fake_workers: type[FakeWorker]) -> None:
    with Contest(PEERS[:2], "classifier", lambda peer: SETTINGS) as contest:
        contest.take_turns(CASES, rounds=2)
    contest.outcome.seconds["short"]["PyTorch fp32"] = [[21.0, 21.0], [35.0, 35.0]]
    columns: Callable[[str], Mapping[str, Any]] = lambda name: {"cosine": 1.0}  # noqa: E731
    record = contest_record("one", "One", "Quickly.", PEERS, CASES, contest.outcome, columns)
    figures = record["cases"]["short"]["PyTorch fp32"]
    assert figures["ms"] == [[21_000.0, 21_000.0], [35_000.0, 35_000.0]]
    assert (figures["calls"], figures["p50"], figures["ratio"]) == (4, 28_000.0, 2.0)
    assert record["rows"][1] == {
        "": "PyTorch fp32",
        "short, ms": "28000 (×2.00)",
        "long, ms": "14000 (×1.00)",
        "cosine": 1.0,
        "peak memory, MB": 1,
    }


def test_figures_of_repeated_measurements() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([5.0], 99) == 5.0
    assert summary([[1.0, 2.0], [3.0]]) == {"p50": 2.0, "p90": 2.8, "p99": 2.98, "calls": 3}
    assert round_ratios([[4.0], [9.0], [30.0]], [[2.0], [3.0], [3.0]]) == [2.0, 3.0, 10.0]
    assert ratio([[4.0], [9.0], [30.0]], [[2.0], [3.0], [3.0]]) == 3.0
    assert without_prefill([[5.0], [8.0]], [[1.0, 1.0, 9.0], [2.0]], 2) == [[2.0], [3.0]]


def test_only_calls_are_timed_and_the_answer_is_given_where_it_is_wanted() -> None:
    calls: list[int] = []
    engine = Engine(lambda number: calls.append(number) or number, lambda number: number + 1, lambda number: [number])
    found = measured(engine, {"number": 1}, calls=2, uncounted=3, is_answer_wanted=True)
    assert calls == [2] * 5
    assert (len(found["seconds"]), found["result"]) == (2, [2])
    assert measured(engine, {"number": 1}, calls=1, uncounted=0, is_answer_wanted=False)["result"] is None


def test_log_probabilities_of_the_next_tokens() -> None:
    logits = [[0.0, math.log(3.0)], [math.log(4.0), 0.0], [0.0, 0.0]]
    assert next_token_log_probabilities(logits, [0, 1, 0]) == pytest.approx([math.log(0.75), math.log(0.8)])


def test_a_process_that_cannot_load_its_engine_says_why() -> None:
    with pytest.raises(PeerUnavailableError, match=r"ended with status 1: .*no_such_engine"):
        Worker(sys.executable, "no_such_engine", "classifier", SETTINGS)


def test_words_choose_peers_and_headway_stays() -> None:
    names = [peer.name for peer in choose(CLASSIFIERS, ["pytorch", "OpenVINO bf16"])]
    assert {"Headway fp32", "Headway int8", "PyTorch fp32", "PyTorch bf16", "OpenVINO bf16 (its default)"} <= set(names)
    assert "optimum-onnx fp32" not in names
    assert choose(CLASSIFIERS, []) == list(CLASSIFIERS)
    with pytest.raises(OptionError, match="holds 'jax'"):
        choose(CLASSIFIERS, ["jax"])


@pytest.mark.parametrize("peers", [CLASSIFIERS, EMBEDDERS, DECODERS], ids=["classifiers", "embedders", "decoders"])
def test_the_catalogue_is_whole(peers: list[Peer]) -> None:
    names = [peer.name for peer in peers]
    assert len(set(names)) == len(names)
    folder = Path(environments.__file__).parent
    for peer in peers:
        assert peer.environment is None or peer.environment in ENVIRONMENTS
        assert (folder / f"{peer.module}.py").is_file()
        assert any(other.is_ours and other.group == peer.group for other in peers)


def test_settings_reach_another_process_unchanged() -> None:
    settings = Settings(Path("a"), Path("b"), Path("c"), 2, "int8", {"compiled": True})
    assert Settings.from_json(settings.to_json()) == settings


def test_the_reason_pip_gives_is_kept_short() -> None:
    messages = "WARNING: slow\nERROR: Could not find a version\n  more\nERROR: No matching distribution found for x\n"
    assert environments._reason(messages) == "Could not find a version No matching distribution found for x"
    assert environments._reason("error: no compiler\n") == "error: no compiler"


def test_groups_keep_the_order_of_the_table() -> None:
    groups = by_group(DECODERS)
    assert [name for members in groups for name in members] == list(DECODERS)
    assert [len({peer.group for peer in members}) for members in groups] == [1] * len(groups)


def test_an_engine_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_LONGEST_ANSWER_S", 0.05)
    with pytest.raises(PeerUnavailableError, match="killed, after"):
        Worker(sys.executable, "no_such_engine", "classifier", SETTINGS)


def test_nothing_is_installed_where_only_installed_peers_are_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(environments.INSTALL_VARIABLE, "0")
    with pytest.raises(PeerUnavailableError, match="not installed"):
        environments.environment_python("llama-cpp")
    assert list(tmp_path.iterdir()) == []
