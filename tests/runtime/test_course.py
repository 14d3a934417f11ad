"""What a newcomer copies from a transformers course, with only the import line and return_tensors changed.

The heads are small and random where no trained checkpoint exists: the code is what is tested here, and its numbers
beside transformers' own for the same code.
"""

import numpy as np
import pytest
import torch
import transformers

SENTENCES = ["I've been waiting for a HuggingFace course my whole life.", "I hate this so much!"]
# Golden ids of bert-base-uncased's vocabulary.
FIRST = [101, 1045, 1005, 2310, 2042, 3403, 2005, 1037, 17662, 12172, 2607, 2026, 2878, 2166, 1012, 102]
SECOND = [101, 1045, 5223, 2023, 2061, 2172, 999, 102]


@pytest.fixture(scope="module")
def backbone(minilm_artifact):
    return str(minilm_artifact)


@pytest.fixture(scope="module")
def classifier(minilm_checkpoint, tmp_path_factory):
    """A sequence classifier with MiniLM's trunk and vocabulary, and a head drawn from a seed."""
    from headway.export import export

    folder = tmp_path_factory.mktemp("course")
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_checkpoint)
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        minilm_checkpoint, id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1}
    ).eval()
    export(model, folder / "artifact", tokenizer=tokenizer)
    model.save_pretrained(folder / "checkpoint")
    tokenizer.save_pretrained(folder / "checkpoint")
    return folder


def test_tokenize_two_sentences(backbone):
    from headway.runtime import AutoTokenizer

    checkpoint = backbone
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="np")

    assert inputs["input_ids"].tolist() == [FIRST, SECOND + [0] * 8]
    assert inputs["attention_mask"].tolist() == [[1] * 16, [1] * 8 + [0] * 8]


def test_tokens_and_back(backbone):
    from headway.runtime import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(backbone)
    tokens = tokenizer.tokenize("Using a Transformer network is simple")
    ids = tokenizer.convert_tokens_to_ids(tokens)
    decoded_string = tokenizer.decode([7993, 170, 13809])

    reference = transformers.AutoTokenizer.from_pretrained(backbone)
    assert tokens == reference.tokenize("Using a Transformer network is simple")
    assert ids == reference.convert_tokens_to_ids(tokens)
    assert decoded_string == reference.decode([7993, 170, 13809])


def test_run_the_backbone(backbone):
    from headway.runtime import AutoModel, AutoTokenizer

    checkpoint = backbone
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="np")
    model = AutoModel.from_pretrained(checkpoint)
    outputs = model(**inputs)

    assert outputs.last_hidden_state.shape == (2, 16, 384)
    assert outputs["last_hidden_state"] is outputs.last_hidden_state is outputs[0]


def test_run_a_head_to_labels(classifier):
    from headway.runtime import AutoModelForSequenceClassification, AutoTokenizer, softmax

    checkpoint = str(classifier / "artifact")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="np")
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    outputs = model(**inputs)
    predictions = softmax(outputs.logits, axis=-1)

    reference = transformers.AutoModelForSequenceClassification.from_pretrained(classifier / "checkpoint")
    with torch.no_grad():
        logits = reference(**{name: torch.from_numpy(value) for name, value in inputs.items()}).logits
    assert outputs.logits.shape == (2, 2)
    np.testing.assert_allclose(outputs.logits, logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(predictions, torch.nn.functional.softmax(logits, dim=-1).numpy(), atol=1e-5)
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}


def test_pipeline_on_a_list(classifier):
    from headway.runtime import pipeline

    classify = pipeline("sentiment-analysis", model=str(classifier / "artifact"))
    results = classify(SENTENCES)

    reference = transformers.pipeline("sentiment-analysis", model=str(classifier / "checkpoint"))(SENTENCES)
    assert [result["label"] for result in results] == [result["label"] for result in reference]
    assert [result["score"] for result in results] == pytest.approx([result["score"] for result in reference], abs=1e-5)


def test_batches_of_ids_without_padding_and_with_a_mask(classifier):
    from headway.runtime import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(str(classifier / "artifact"))
    sequence1_ids = [[200, 200, 200]]
    sequence2_ids = [[200, 200]]
    batched_ids = [[200, 200, 200], [200, 200, 0]]
    attention_mask = [[1, 1, 1], [1, 1, 0]]

    alone = [model(np.array(ids)).logits for ids in (sequence1_ids, sequence2_ids)]
    outputs = model(np.array(batched_ids), attention_mask=np.array(attention_mask))
    np.testing.assert_allclose(outputs.logits, np.concatenate(alone), atol=1e-5)


def test_save_and_load_again(backbone, tmp_path):
    from headway.runtime import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(backbone)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    model.save_pretrained(tmp_path / "directory_on_my_computer")
    tokenizer.save_pretrained(tmp_path / "directory_on_my_computer")

    again = AutoModel.from_pretrained(tmp_path / "directory_on_my_computer")
    inputs = AutoTokenizer.from_pretrained(tmp_path / "directory_on_my_computer")(SENTENCES[0], return_tensors="np")
    np.testing.assert_array_equal(again(**inputs).last_hidden_state, model(**inputs).last_hidden_state)


def test_offsets_words_and_pairs(backbone):
    from headway.runtime import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(backbone)
    encoding = tokenizer("My name is Sylvain and I work at Hugging Face in Brooklyn.")
    pair = tokenizer("This is the first sentence.", "This is the second one.")

    reference = transformers.AutoTokenizer.from_pretrained(backbone)
    theirs = reference("My name is Sylvain and I work at Hugging Face in Brooklyn.")
    assert tokenizer.is_fast
    assert encoding.is_fast
    assert encoding.tokens() == theirs.tokens()
    assert encoding.word_ids() == theirs.word_ids()
    assert encoding.word_to_chars(3) == theirs.word_to_chars(3)
    assert pair["token_type_ids"] == reference("This is the first sentence.", "This is the second one.").token_type_ids


def test_mean_pooling_of_sentence_embeddings(backbone):
    from headway.runtime import AutoModel, AutoTokenizer, mean_pool, normalize

    tokenizer = AutoTokenizer.from_pretrained(backbone)
    model = AutoModel.from_pretrained(backbone)
    texts = ["A man is eating food.", "A man is eating a piece of bread.", "The sky is blue today."]
    inputs = tokenizer(texts, padding=True, return_tensors="np")
    vectors = normalize(mean_pool(model(**inputs).last_hidden_state, inputs["attention_mask"]))
    similarities = vectors @ vectors.T
    assert similarities[0, 1] > 0.7 > 0.3 > similarities[0, 2]
