"""``headway run`` with images: paths on the command line, and a file of paths."""

import json

import pytest
from pipeline_parity import assert_same_result

from headway.runtime import pipeline
from headway.runtime.cli import main


def run(capsys, *argv):
    capsys.readouterr()  # what making the artifact has written
    status = main(["run", *map(str, argv), "--device", "cpu", "--threads", "1"])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_images_on_the_command_line(image_heads, photo, capsys):
    folder = image_heads("vit").artifact
    expected = pipeline(model=str(folder), device="cpu", num_threads=1)(photo)
    status, output, errors = run(capsys, folder, photo, photo, "--json")
    assert (status, errors) == (0, "")
    first, second = (json.loads(line) for line in output.splitlines())
    assert_same_result(expected, first)
    assert_same_result(expected, second)
    status, output, _ = run(capsys, folder, photo, "--top-k", "1")
    name, header, row = output.splitlines()
    assert (status, name, header.split()) == (0, str(photo), ["label", "score"])
    assert row.split()[:-1] == expected[0]["label"].split()


def test_labels_of_ones_own(image_heads, photo, capsys):
    folder = image_heads("clip").artifact
    options = {"candidate_labels": ["a fox", "a dog"], "hypothesis_template": "{}"}
    expected = pipeline(model=str(folder), device="cpu", num_threads=1)(photo, **options)
    flags = ("--candidate-labels", "a fox", "a dog", "--hypothesis-template", "{}", "--json")
    status, output, _ = run(capsys, folder, photo, *flags)
    assert status == 0
    assert_same_result(expected, json.loads(output))


def test_features(image_heads, photo, capsys):
    folder = image_heads("backbone").artifact
    status, output, _ = run(capsys, folder, photo, "--json")
    features = json.loads(output)
    assert (status, len(features), len(features[0]), len(features[0][0])) == (0, 1, 17, 32)


def test_a_file_of_paths(image_heads, photo, capsys, tmp_path):
    folder = image_heads("vit").artifact
    source, target = tmp_path / "images.jsonl", tmp_path / "labels.jsonl"
    lines = [{"image": str(photo)}, {"image": "nowhere.png"}, str(photo)]
    source.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    status, _, errors = run(capsys, folder, "--input", source, "--output", target, "--on-error", "skip", "--top-k", "2")
    assert (status, "1 line holds an error" in errors) == (0, True)
    first, second, third = (json.loads(line) for line in target.read_text().splitlines())
    assert_same_result(first, third)
    assert len(first) == 2
    assert second == {"error": second["error"], "line": 2}
    assert second["error"].startswith("line 2: there is no file 'nowhere.png'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "there is no file 'nowhere.png'"),
        (["http://localhost:1/a.png"], "allow_urls=True"),
        (["http://localhost:1/a.png", "--allow-urls"], "cannot be fetched"),
    ],
    ids=["missing", "address", "unreachable"],
)
def test_bad_images_are_one_line(image_heads, capsys, arguments, message):
    status, output, errors = run(capsys, image_heads("vit").artifact, *arguments)
    assert (status, output) == (1, "")
    assert message in errors
    assert errors.count("\n") == 1
