"""What precisions are calibrated with and measured on: texts of many subjects, none of them in both."""

from pathlib import Path

import numpy as np
import tiny_tokenizers

from headway.export.precisions import texts
from headway.export.precisions.texts import TextSource, calibration_text, evaluation_text

FILE = Path(texts.__file__).with_name("calibration_texts.txt")
WRITTEN = FILE.read_text(encoding="utf-8").split("\n%%\n")


def test_calibration_reads_the_written_texts_and_docstrings_between_them() -> None:
    text = calibration_text()
    assert len(WRITTEN) > 50
    assert all(written in text for written in WRITTEN)
    # As many as are read, they come by turns from the very start: a model is calibrated on the beginning.
    places = [text.index(written) for written in WRITTEN]
    assert places == sorted(places)
    between = [
        text[place + len(written) : following].strip()
        for place, written, following in zip(places, WRITTEN, places[1:], strict=False)
    ]
    assert all(len(docstring) >= 200 for docstring in between)
    written_share = sum(map(len, WRITTEN)) / places[-1]
    assert 0.25 < written_share < 0.75


def test_nothing_that_is_measured_on_is_calibrated_with() -> None:
    measured = evaluation_text()
    paragraphs = {paragraph for paragraph in calibration_text().split("\n\n") if len(paragraph) > 100}
    assert not [paragraph for paragraph in paragraphs if paragraph in measured]


def test_a_source_gives_the_text_from_its_beginning_and_begins_again() -> None:
    tokenizer = tiny_tokenizers.build("GPT2Tokenizer")
    ids = tokenizer("The dog\n\nthe fox\n\n", add_special_tokens=False)["input_ids"]
    source = TextSource(tokenizer, "The dog\n\n\n\n the fox ")
    np.testing.assert_array_equal(source.take(len(ids)), ids)
    np.testing.assert_array_equal(source.take(len(ids) + 1), [*ids, ids[0]])
