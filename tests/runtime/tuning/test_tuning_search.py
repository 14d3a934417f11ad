"""The search on a machine that is made up: what each choice costs is known, so what must be found is too."""

from types import SimpleNamespace

import numpy as np
import pytest

from headway.runtime.artifact import TensorSpec
from headway.runtime.batch_runs import RunPlan
from headway.runtime.errors import CorruptArtifactError
from headway.runtime.tuning import choices
from headway.runtime.tuning.accuracy import Limits
from headway.runtime.tuning.choices import STAGES, Scope, spread_out
from headway.runtime.tuning.search import Search
from headway.runtime.tuning.setup import SPINNING, Setup
from headway.runtime.tuning.shapes import Shape
from headway.runtime.tuning.timing import Effort

ANSWER = np.linspace(-1, 1, 100, dtype=np.float32)
# How far each precision is from float32.
ERRORS = {"fp32": 0.0, "int8": 0.05, "q4": 0.3}
SPEEDS = {"fp32": 1.0, "int8": 0.4, "q4": 0.2}
BATCH_AXIS = TensorSpec("input_ids", "int64", ("batch_size", "sequence_length"))


class FakeWorkload:
    """Every setup has a cost by rule; ``broken`` ones do not load, ``wrong`` ones answer something else."""

    def __init__(self, broken=None, wrong=None):
        self.shapes, self.cases = (Shape(1, 16), Shape(8, 128)), range(2)
        self.is_decoder, self.takes_two_precisions, self.has_independent_rows = False, False, True
        self.components = ("model",)
        self.artifact = SimpleNamespace(
            variants=("fp32", "int8", "q4"), manifest=None, model_file=lambda component, dtype: None
        )
        self.broken = broken or (lambda setup: False)
        self.wrong = wrong or (lambda setup: False)
        self.cost = lambda setup, case: SPEEDS[setup.dtype]

    def open(self, setup):
        if self.broken(setup):
            raise CorruptArtifactError("It does not load. Do something.")
        direction = np.sign(np.sin(np.arange(100) + 1)) * ERRORS[setup.dtype] * 0.1
        answer = ANSWER + direction + (0.5 if self.wrong(setup) else 0)
        return SimpleNamespace(seconds=lambda case: self.cost(setup, case), answers=lambda case: [answer])


@pytest.fixture(autouse=True)
def known_optimizers(monkeypatch):
    monkeypatch.setattr(choices, "effective_optimizers", lambda graphs: iter(["GoodFusion", "BadFusion"]))


def search_of(workload, dtypes=("fp32", "int8"), limits=None, num_threads=2):
    return Search(Scope(workload, dtypes, num_threads), Setup("fp32"), Limits(limits or {}), Effort(rounds=3))


def verdicts(search):
    return {trial.name: trial.verdict for trial in search.trials}


def test_the_fastest_precision_is_kept():
    search = search_of(FakeWorkload())
    assert search.run() == Setup("int8")
    assert verdicts(search)["int8"] == "kept"


def test_a_precision_that_was_not_allowed_is_not_tried():
    search = search_of(FakeWorkload(), dtypes=("fp32", "int8"))
    assert search.run().dtype == "int8"
    assert "q4" not in verdicts(search)


def test_the_users_limit_is_measured_too():
    search = search_of(FakeWorkload(), dtypes=("fp32", "int8", "q4"), limits={"min_cosine": 0.9995})
    assert search.run().dtype == "int8"
    assert verdicts(search)["q4"].startswith("refused: cosine 0.99")


def test_changes_add_up_within_a_stage():
    workload = FakeWorkload()
    gains = {"GoodFusion": 1.0, "BadFusion": 0.9}

    def cost(setup, case):
        return SPEEDS[setup.dtype] * np.prod([gains[name] for name in setup.disabled_optimizers] or [1.0])

    workload.cost = cost
    search = search_of(workload)
    assert search.run().disabled_optimizers == ("BadFusion",)
    assert verdicts(search)["without GoodFusion"] == "no gain"
    gains["GoodFusion"] = 0.8
    assert search_of(workload).run().disabled_optimizers == ("GoodFusion", "BadFusion")


def test_fewer_threads_leave_nothing_to_wait_for():
    workload = FakeWorkload()
    workload.cost = lambda setup, case: 1.0 if setup.num_threads is None else 0.5
    search = search_of(workload)
    assert search.run().num_threads == 1
    assert "no spinning" not in verdicts(search)


def test_spinning_and_where_weights_lie():
    key = "session.use_device_allocator_for_initializers"
    workload = FakeWorkload()
    workload.cost = lambda setup, case: 1.0 - 0.1 * (setup.config.get(SPINNING) == "0") - 0.1 * (key in setup.config)
    found = search_of(workload, dtypes=("fp32",)).run()
    assert dict(found.config) == {SPINNING: "0", key: "1"}


def test_batches_are_cut_where_it_pays():
    workload = FakeWorkload()

    def cost(setup, case):
        best = RunPlan(1024, 512, 2)
        return 0.6 if case == 1 and best in setup.runs else 1.0

    workload.cost = cost
    search = search_of(workload, dtypes=("fp32",))
    assert search.run().runs == (RunPlan(128, 512, 2),)
    assert [name for name in verdicts(search) if name.startswith("1x16")] == []


def plan_costs(costs):
    """Seconds of 8x128 by (run tokens, streams); 1.0 of any other plan, and of the small shape."""

    def cost(setup, case):
        plans = [(plan.run_tokens, plan.num_streams) for plan in setup.runs]
        return costs.get(plans[0], 1.0) if case == 1 and plans else 1.0

    return cost


def test_the_fastest_plan_is_found_behind_one_that_is_nearly_as_fast():
    workload = FakeWorkload()
    workload.cost = plan_costs({(512, 1): 0.96, (256, 1): 0.95, (512, 2): 0.945, (256, 2): 0.97})
    search = search_of(workload, dtypes=("fp32",))
    assert search.run().runs == (RunPlan(128, 512, 2),)
    found = verdicts(search)
    assert found["8x128 in runs of 4 rows, 2 at the same time"] == "kept"
    assert found["8x128 in runs of 4 rows"] == found["8x128 in runs of 2 rows"] == "another is faster"
    gains = {trial.name: trial.gain for trial in search.trials}
    assert gains["8x128 in runs of 4 rows"] == pytest.approx(1 / 0.96)


def test_a_plan_must_gain_side_by_side_too():
    workload = FakeWorkload()
    lucky = iter([0.5] * 3 + [1.0] * 100)
    costs = plan_costs({})
    workload.cost = lambda setup, case: next(lucky) if setup.runs == (RunPlan(1024, 512),) else costs(setup, case)
    search = search_of(workload, dtypes=("fp32",))
    assert search.run().runs == ()
    assert verdicts(search)["8x128 in runs of 4 rows"] == "no gain"


def test_of_many_that_gain_one_is_kept():
    workload = FakeWorkload()
    workload.cost = plan_costs({(512, 1): 0.9, (256, 1): 0.8, (128, 1): 0.7, (512, 2): 0.6, (256, 2): 0.5})
    search = search_of(workload, dtypes=("fp32",))
    assert search.run().runs == (RunPlan(128, 256, 2),)
    assert [trial.verdict for trial in search.trials if trial.stage == "batches"].count("kept") == 1
    assert len(verdicts(search)) == len(search.trials)


def test_all_of_it_must_be_faster_than_none_of_it():
    workload = FakeWorkload()
    search = search_of(workload)
    found = search.run()
    assert search.settle(found)[0] == found
    workload.cost = lambda setup, case: 1.0 if setup == Setup("fp32") else 1.3
    setup, beside = search.settle(found)
    assert (setup, beside.ratio, beside.challenger_s) == (Setup("fp32"), 1.0, (1.0, 1.0))
    last = search.trials[-1]
    assert (last.name, last.verdict, last.gain) == ("beside untuned", "slower", pytest.approx(1 / 1.3))


def test_one_bad_moment_does_not_undo_what_was_found():
    workload = FakeWorkload()
    search = search_of(workload)
    found = search.run()
    moments = iter([3.0] * 6 + [0.5] * 100)
    workload.cost = lambda setup, case: 1.0 if setup == Setup("fp32") else next(moments)
    setup, beside = search.settle(found)
    assert (setup, beside.ratio) == (found, 0.5)
    assert search.trials[-1].name != "beside untuned"


def test_what_is_untuned_is_as_fast_as_itself():
    workload = FakeWorkload()
    search = search_of(workload, dtypes=("fp32",))
    search.run()
    times = iter(range(1, 1000))
    workload.cost = lambda setup, case: float(next(times))
    setup, beside = search.settle(Setup("fp32"))
    assert (setup, beside.ratio, beside.challenger_s) == (Setup("fp32"), 1.0, beside.champion_s)


def test_what_does_not_load_is_said_and_left_out():
    search = search_of(FakeWorkload(broken=lambda setup: setup.dtype == "int8"))
    assert search.run() == Setup("fp32")
    assert verdicts(search)["int8"] == "does not run: It does not load"


def test_other_answers_are_refused_however_fast():
    workload = FakeWorkload(wrong=lambda setup: bool(setup.disabled_optimizers))
    workload.cost = lambda setup, case: 0.1 if setup.disabled_optimizers else 1.0
    search = search_of(workload, dtypes=("fp32",))
    assert search.run().disabled_optimizers == ()
    assert verdicts(search)["without GoodFusion"].startswith("refused: cosine")


def test_answers_may_be_as_far_off_as_the_precision_itself():
    search = search_of(FakeWorkload())
    search.run()
    cosines = {trial.name: trial.cosine for trial in search.trials}
    assert cosines["int8"] < 0.99999
    assert not [name for name, verdict in verdicts(search).items() if verdict.startswith("refused")]


def test_luck_must_come_twice():
    workload = FakeWorkload()
    samples = []

    def lucky_at_first(setup, case):
        if not setup.config:
            return 1.0
        samples.append(case)
        return 0.5 if len(samples) <= 6 else 1.0  # 3 rounds of 2 cases

    workload.cost = lucky_at_first
    search = search_of(workload, dtypes=("fp32",))
    assert not search.run().config
    assert verdicts(search)["without GoodFusion"] == "no gain"


def test_a_decoder_joins_two_precisions():
    workload = FakeWorkload()
    workload.is_decoder, workload.takes_two_precisions, workload.has_independent_rows = True, True, False
    speeds = {"fp32": 1.0, "int8": 0.5, "q4": 0.7, "int8+q4": 0.3}
    workload.cost = lambda setup, case: speeds.get(setup.dtype, 2.0)
    workload.open = lambda setup: SimpleNamespace(
        seconds=lambda case: workload.cost(setup, case), answers=lambda case: [ANSWER]
    )
    assert search_of(workload, dtypes=("fp32", "int8", "q4")).run().dtype == "int8+q4"


def test_everything_tried_is_reported_as_it_is_tried():
    told = []
    search = search_of(FakeWorkload())
    search.on_trial, search.on_stage = told.append, lambda stage, number: told.append((stage, number))
    search.run()
    assert [one for one in told if not isinstance(one, tuple)] == search.trials
    assert [one[0] for one in told if isinstance(one, tuple)] == list(STAGES)


@pytest.mark.parametrize(
    ("runs", "measured", "expected"),
    [
        ((), [16, 1024], ()),
        ((RunPlan(1024, 512),), [1024], (RunPlan(0, 512),)),
        ((RunPlan(1024, 512),), [16, 1024], (RunPlan(128, 512),)),
        ((RunPlan(64, 8), RunPlan(1024, 8)), [64, 1024], (RunPlan(0, 8),)),
        ((RunPlan(64, 8),), [64, 1024], (RunPlan(0, 8), RunPlan(256))),
    ],
    ids=str,
)
def test_plans_of_sizes_become_plans_of_ranges(runs, measured, expected):
    assert spread_out(runs, measured) == expected
