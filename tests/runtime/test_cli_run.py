"""`headway run`: texts and files through pipelines, and runs that are stopped and go on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_graphs import (
    MAX_LENGTH,
    VOCAB_SIZE,
    answer_model,
    choice_model,
    classifier_model,
    tagger_model,
    word_vectors,
    write_artifact,
)

from headway.runtime import pipeline, progress_bar
from headway.runtime.cli import main
from headway.runtime.commands import line_progress

HEADWAY = [sys.executable, "-c", "import sys; from headway.runtime.cli import main; sys.exit(main())"]
TEXTS = ["good film", "the film was very bad .", "not good", "is a film"]


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    status = main(["run", *map(str, argv)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def write_lines(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(f"{line if path.suffix == '.txt' else json.dumps(line)}\n" for line in lines))
    return path


def read_lines(path: Path) -> list[Any]:
    content = path.read_text()
    assert content == "" or content.endswith("\n")
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture(scope="module")
def classify(classifier: Path) -> Any:
    return pipeline("text-classification", classifier, device="cpu")


def assert_close(found: Any, expected: Any) -> None:
    """Results of one text, whose score may differ in the last digits with the batch it ran in."""
    assert found["label"] == expected["label"]
    assert found["score"] == pytest.approx(expected["score"], abs=1e-6)


def test_texts(classifier: Path, capsys: pytest.CaptureFixture[str], classify: Any) -> None:
    status, output, errors = run(capsys, classifier, *TEXTS[:2])
    first, second = classify(TEXTS[:2])
    assert (status, errors) == (0, "")
    assert output.splitlines() == [
        TEXTS[0],
        "  label      score",
        f"  {first['label']}  {first['score']:.4f}",
        TEXTS[1],
        "  label      score",
        f"  {second['label']}  {second['score']:.4f}",
    ]


def test_texts_as_json(classifier: Path, capsys: pytest.CaptureFixture[str], classify: Any) -> None:
    status, output, _ = run(capsys, classifier, "--json", *TEXTS)
    assert status == 0
    for line, expected in zip(output.splitlines(), classify(TEXTS), strict=True):
        assert_close(json.loads(line), expected)


def test_options_of_the_task(classifier: Path, tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, output, _ = run(capsys, classifier, "good", "--top-k", "all", "--json")
    assert [entry["label"] for entry in json.loads(output)] == ["POSITIVE", "NEGATIVE"]
    _, output, _ = run(capsys, tagger, "good film", "--aggregation-strategy", "simple", "--json")
    assert "entity_group" in json.loads(output)[0]
    _, output, _ = run(capsys, classifier, "good", "--candidate-labels", "film,the", "is", "--json")
    assert sorted(json.loads(output)["labels"]) == ["film", "is", "the"]
    _, output, _ = run(capsys, classifier, "good", "--text-pair", "bad", "--json")
    expected = pipeline("text-classification", classifier)({"text": "good", "text_pair": "bad"})
    assert_close(json.loads(output), expected)


def test_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_artifact(tmp_path / "qa", answer_model(), "question-answering", "BertForQuestionAnswering")
    status, output, _ = run(capsys, folder, "is the film good", "--context", "the film was bad", "--json")
    expected = pipeline("question-answering", folder)(question="is the film good", context="the film was bad")
    assert (status, json.loads(output)) == (0, expected)
    assert run(capsys, folder, "what", "--context", "a film")[1].splitlines()[1].split() == [
        "score",
        "start",
        "end",
        "answer",
    ]
    status, _, errors = run(capsys, folder, "what")
    assert (status, "context" in errors) == (1, True)
    source = write_lines(tmp_path / "in.jsonl", [{"question": "what", "context": "a film", "id": "7"}, "where"])
    assert run(capsys, folder, "--input", source, "--output", tmp_path / "o", "--context", "the film")[0] == 0
    first, second = read_lines(tmp_path / "o")
    assert first["answer"] in "a film"
    assert second["answer"] in "the film"


def test_ranking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = classifier_model(word_vectors(1))
    folder = write_artifact(tmp_path / "rank", model, architecture="BertForSequenceClassification", labels=("SCORE",))
    documents = ["good", "very bad film", "the"]
    status, output, _ = run(capsys, folder, "--query", "film", *documents, "--json")
    expected = pipeline("rerank", folder)("film", documents)
    assert (status, json.loads(output)) == (0, expected)
    header, *rows = run(capsys, folder, "--query", "film", *documents)[1].splitlines()
    assert header.split() == ["corpus_id", "score", "text"]
    assert [int(row.split()[0]) for row in rows] == [entry["corpus_id"] for entry in expected]
    source = write_lines(tmp_path / "in.jsonl", [{"query": "film", "documents": documents}])
    assert run(capsys, folder, "--input", source, "--output", tmp_path / "o", "--task", "rerank")[0] == 0
    assert read_lines(tmp_path / "o") == [expected]


def test_choices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_artifact(tmp_path / "choice", choice_model(), "multiple-choice", "BertForMultipleChoice")
    status, output, _ = run(capsys, folder, "the film is", "--choices", "good", "very bad", "--json")
    expected = pipeline("multiple-choice", folder)("the film is", ["good", "very bad"])
    assert (status, json.loads(output)) == (0, expected)


def test_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_artifact(tmp_path / "mask", tagger_model(VOCAB_SIZE), "fill-mask", "BertForMaskedLM")
    status, output, _ = run(capsys, folder, "the [MASK] is good", "--top-k", 2, "--json")
    expected = pipeline("fill-mask", folder)("the [MASK] is good", top_k=2)
    assert (status, json.loads(output)) == (0, expected)
    lines = run(capsys, folder, "the [MASK] [MASK]", "--targets", "good", "bad")[1].splitlines()
    assert [line.split() for line in lines].count(["score", "token", "token_str", "sequence"]) == 2


def test_errors(classifier: Path, tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, message in [
        ([classifier, "a", "--task", "fly"], "Unknown task 'fly'; available are"),
        ([classifier, "a", "--task", "ner"], "was exported for text-classification"),
        ([classifier, "a", "--context", "x"], "--context belongs to question-answering"),
        ([classifier, "a", "--dtype", "int8"], "has no variant 'int8'; it has fp32"),
        ([classifier, "a", "--device", "tpu"], "Unknown device 'tpu'"),
        ([classifier, "a", "--threads", "0"], "num_threads is 0"),
        ([classifier, "a", "--batch-tokens", "0"], "max_batch_tokens"),
        ([classifier, "film " * 50], f"The model takes {MAX_LENGTH}|over the limit|has 52 tokens"),
        ([classifier, "--input", "missing.txt"], "missing.txt does not exist. Pass a .jsonl or .txt file"),
        ([classifier, "--input", classifier], "is a folder. Pass"),
        ([tagger, "a", "--task", "zero-shot-classification"], "was exported for token-classification"),
    ]:
        status, output, errors = run(capsys, *argv)
        assert (status, output) == (1, ""), argv
        assert errors.count("\n") == 1
        assert any(part in errors for part in message.split("|")), errors


@pytest.mark.parametrize("argv", [["DIR", "x", "--input", "y"], ["DIR", "x", "--output", "y"]])
def test_usage(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run", *argv])
    assert stopped.value.code == 2


def test_truncation_is_an_option(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = run(capsys, classifier, "film " * 50, "--truncation", "warn", "--json")
    assert (status, json.loads(output)["label"]) == (0, "POSITIVE")
    assert "1 text was over the limit of 12 tokens" in errors
    status, _, errors = run(capsys, classifier, "film " * 50, "--truncation", "cut", "--max-length", "8", "--json")
    assert (status, errors) == (0, "")


def test_embeddings_of_a_real_model(minilm_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["A man is eating food.", "Someone is having a meal.", "The stock market fell sharply today."]
    status, output, _ = run(capsys, minilm_artifact, *texts)
    assert status == 0
    assert output.splitlines()[1].endswith("384 values of length 1.000")
    lines = write_lines(tmp_path / "in.jsonl", [{"text": text, "id": index} for index, text in enumerate(texts)])
    assert run(capsys, minilm_artifact, "--input", lines, "--output", tmp_path / "out.jsonl")[0] == 0
    vectors = np.array(read_lines(tmp_path / "out.jsonl"), dtype=np.float32)
    expected = pipeline("embed", minilm_artifact)(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    status, output, _ = run(capsys, minilm_artifact, texts[0], "--task", "feature-extraction")
    assert output.splitlines()[1].endswith("shape (1, 8, 384)")


@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_file_to_file(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], classify: Any, suffix: str
) -> None:
    source = write_lines(tmp_path / f"in{suffix}", TEXTS * 10)
    output = tmp_path / "out.jsonl"
    assert run(capsys, classifier, "--input", source, "--output", output) == (0, "", "")
    for found, expected in zip(read_lines(output), classify(TEXTS * 10), strict=True):
        assert_close(found, expected)
    content = output.read_bytes()
    status, _, errors = run(capsys, classifier, "--input", source, "--output", output, "--verbose")
    assert (status, "holds 40 results; going on after them" in errors) == (0, True)
    assert output.read_bytes() == content


def test_file_to_standard_output(classifier: Path, tmp_path: Path, classify: Any) -> None:
    source = write_lines(tmp_path / "in.txt", TEXTS)
    done = subprocess.run([*HEADWAY, "run", classifier, "--input", source], capture_output=True, text=True, check=True)
    for line, expected in zip(done.stdout.splitlines(), classify(TEXTS), strict=True):
        assert_close(json.loads(line), expected)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("good film\nbad\n", []),
        ('{"text": "good film"}\n{"text": "bad"}\n', []),
        ('"good film"\n"bad"\n', []),
        ('{"text": "good film"}\n{"text": "bad"}', ["--input-format", "jsonl"]),
    ],
)
def test_standard_input(classifier: Path, content: str, options: list[str], classify: Any) -> None:
    done = subprocess.run(
        [*HEADWAY, "run", classifier, *options], input=content, capture_output=True, text=True, check=True
    )
    for line, expected in zip(done.stdout.splitlines(), classify(["good film", "bad"]), strict=True):
        assert_close(json.loads(line), expected)


def test_empty_input(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_lines(tmp_path / "in.txt", [])
    assert run(capsys, classifier, "--input", source, "--output", tmp_path / "out.jsonl") == (0, "", "")
    assert (tmp_path / "out.jsonl").read_bytes() == b""


BAD_LINES = ['{"text": "good"', "7", '{"text": null}', '{"title": "x"}', json.dumps({"text": "film " * 50}), ""]


@pytest.mark.parametrize("bad", BAD_LINES)
def test_bad_line_that_stops(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], classify: Any, bad: str
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    good = [json.dumps(text) for text in TEXTS]
    source.write_text("\n".join([*good, bad, *good]) + "\n")
    status, _, errors = run(capsys, classifier, "--input", source, "--output", output)
    assert status == 1
    assert errors.startswith("headway: line 5")
    assert errors.endswith("Correct it and run again to go on from there, or pass --on-error skip.\n")
    assert len(read_lines(output)) == 4
    source.write_text("\n".join([*good, '"is"', *good]) + "\n")
    assert run(capsys, classifier, "--input", source, "--output", output)[0] == 0
    for found, expected in zip(read_lines(output), classify([*TEXTS, "is", *TEXTS]), strict=True):
        assert_close(found, expected)


def test_bad_lines_that_are_skipped(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], classify: Any
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [line for bad, text in zip(BAD_LINES, TEXTS * 2, strict=False) for line in (bad, json.dumps(text))]
    source.write_text("\n".join(lines) + "\n")
    argv = (classifier, "--input", source, "--output", output, "--on-error", "skip")
    status, _, errors = run(capsys, *argv)
    assert (status, errors) == (0, "headway: 6 lines hold an error in place of a result\n")
    results = read_lines(output)
    assert len(results) == 12
    for number, result in enumerate(results, start=1):
        if number % 2:
            assert result["line"] == number
            assert result["error"].startswith(f"line {number}")
        else:
            assert_close(result, classify(TEXTS * 2)[number // 2 - 1])


def test_input_or_settings_that_changed(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = write_lines(tmp_path / "in.txt", TEXTS), tmp_path / "out.jsonl"
    argv = (classifier, "--input", source, "--output", output)
    assert run(capsys, *argv)[0] == 0
    before = output.read_bytes()
    status, _, errors = run(capsys, *argv, "--top-k", 2)
    assert status == 1
    assert "was begun with other settings (options was" in errors
    write_lines(source, [TEXTS[0], "other", *TEXTS[2:]])
    status, _, errors = run(capsys, *argv)
    assert (status, "line 2 of the input has changed" in errors) == (1, True)
    assert output.read_bytes() == before
    assert run(capsys, *argv, "--restart")[0] == 0
    assert len(read_lines(output)) == 4
    assert output.read_bytes() != before


def test_another_model(classifier: Path, damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = write_lines(tmp_path / "in.txt", TEXTS), tmp_path / "out.jsonl"
    assert run(capsys, classifier, "--input", source, "--output", output)[0] == 0
    assert run(capsys, damaged, "--input", source, "--output", output)[0] == 0  # a copy is the same model
    config = json.loads((damaged / "config.json").read_text())
    (damaged / "config.json").write_text(json.dumps({**config, "id2label": {"0": "X", "1": "Y"}}))
    status, _, errors = run(capsys, damaged, "--input", source, "--output", output)
    assert (status, "other settings (model was" in errors) == (1, True)


def test_input_is_output(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_lines(tmp_path / "in.jsonl", TEXTS)
    status, _, errors = run(capsys, classifier, "--input", source, "--output", source)
    assert (status, "are the same file" in errors) == (1, True)
    assert len(read_lines(source)) == 4


def test_killed_again_and_again(classifier: Path, tmp_path: Path) -> None:
    """SIGKILL at any moment: the lines that are there are whole and right, and the next run adds the rest."""
    draw = random.Random(0)
    words = ("good", "bad", "film", "the", "a", "is", "not", "very", "was")
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 8))) for _ in range(12_000)]
    source = write_lines(tmp_path / "in.jsonl", texts)
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    command = [*HEADWAY, "run", str(classifier), "--input", str(source), "--output"]
    subprocess.run([*command, str(whole)], check=True)
    expected = [json.loads(line) for line in whole.read_text().splitlines()]
    assert len(expected) == len(texts)
    num_kills = 0
    for share in sorted(draw.random() for _ in range(4)):
        process = subprocess.Popen([*command, str(output)])
        while process.poll() is None:
            if output.exists() and output.stat().st_size > share * whole.stat().st_size:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.0005)
        num_kills += process.wait() == -signal.SIGKILL
    assert num_kills >= 2
    subprocess.run([*command, str(output)], check=True)
    results = read_lines(output)
    assert len(results) == len(expected)
    for found, wanted in zip(results, expected, strict=True):
        assert_close(found, wanted)


def test_memory_is_bounded(classifier: Path, tmp_path: Path) -> None:
    """A hundred times the lines take little more memory."""
    program = (
        "import resource, sys\nfrom headway.runtime.cli import main\nstatus = main()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\nsys.exit(status)"
    )
    peaks_kib = []
    for count in (500, 50_000):
        source = write_lines(tmp_path / f"in{count}.txt", ["the film was very good ."] * count)
        command = [sys.executable, "-c", program, "run", classifier, "--input", source, "--output", f"{source}.out"]
        peaks_kib.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks_kib[1] - peaks_kib[0] < 30_000


def test_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "_DELAY_S", 0.0)
    with line_progress.LineProgress(10, num_done=4, show=True) as progress:
        for _ in range(6):
            progress.advance()
    assert "10/10" in capsys.readouterr().err
    with line_progress.LineProgress(10, show=False) as progress:
        progress.advance()
    assert capsys.readouterr().err == ""


def test_no_bar_where_stderr_is_no_terminal(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_bar, "_DELAY_S", 0.0)
    source = write_lines(tmp_path / "in.txt", TEXTS)
    assert run(capsys, classifier, "--input", source, "--output", tmp_path / "out.jsonl") == (0, "", "")


def test_output_that_cannot_be_written(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_lines(tmp_path / "in.txt", TEXTS)
    for output in (tmp_path, tmp_path / "missing" / "out.jsonl", Path(os.devnull)):
        status, _, errors = run(capsys, classifier, "--input", source, "--output", output)
        assert status == 1
        assert "is no regular file" in errors or "is not a folder" in errors
