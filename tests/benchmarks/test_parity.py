"""How an answer is judged beside transformers', and what the parity run asks."""

import pytest

from headway.benchmarks.parity import SAME, Reference, main, verdict
from headway.benchmarks.parity_prompts import TITLE_TEXTS

REFERENCE = Reference([5, 6, 7], [2.0, 1e-6, 0.5])


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([5, 6, 7], SAME),
        ([5, 6, 7, 0, 0], SAME),
        ([5, 9, 7], "differs from token 2 on, logits 1.0e-06 apart"),
        ([5, 6], "differs from token 3 on, logits 5.0e-01 apart"),
        ([5, 6, 7, 0, 8], "differs from token 4 on"),
    ],
)
def test_verdict(tokens, expected):
    assert verdict(tokens, REFERENCE) == expected


def test_there_are_twenty_texts():
    assert len(set(TITLE_TEXTS)) == 20


def test_an_unknown_model(capsys):
    with pytest.raises(SystemExit):
        main(["gpt-5"])
    assert "choose from smollm2, t5-title" in capsys.readouterr().err
