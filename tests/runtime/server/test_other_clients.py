"""Clients of text-embeddings-inference, the hub, Triton and Cohere against the server."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from serving import RunningServer

from headway.runtime import pipeline

TEXTS = ["good film", "bad", "the film is not very good ."]


@pytest.fixture
def alone(head_folders: dict[str, Path]) -> Any:
    """A pipeline in this process."""
    return lambda task, name, **options: pipeline(task, model=head_folders[name], num_threads=1, **options)


@pytest.fixture
def hub(server: RunningServer, online: None) -> Any:
    """The hub's client for one of the server's addresses."""
    return lambda path: InferenceClient(model=f"{server.url}{path}", token="none")


def test_the_hub_s_client_embeds(hub: Any, alone: Any) -> None:
    vectors = hub("/embed").feature_extraction(TEXTS[0], normalize=True)
    expected = alone("embed", "embedder")(TEXTS[:1], normalize_embeddings=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_the_hub_s_client_classifies(hub: Any, alone: Any) -> None:
    found = hub("/v1/pipelines/text-classification").text_classification(TEXTS[0])
    expected = alone("text-classification", "classifier")(TEXTS[0], top_k=None)
    assert [entry.label for entry in found] == [entry["label"] for entry in expected]
    assert found[0].score == pytest.approx(expected[0]["score"], abs=1e-6)
    best = hub("/v1/pipelines/text-classification").text_classification(TEXTS[0], top_k=1)
    assert [entry.label for entry in best] == [expected[0]["label"]]


def test_the_hub_s_client_tags(hub: Any, alone: Any) -> None:
    found = hub("/v1/pipelines/token-classification").token_classification(TEXTS[2], ignore_labels=[])
    expected = alone("token-classification", "tagger")(TEXTS[2], ignore_labels=[])
    assert [entry.word for entry in found] == [entry["word"] for entry in expected]


def test_the_hub_s_client_compares(hub: Any, alone: Any) -> None:
    found = hub("/similarity").sentence_similarity(TEXTS[0], TEXTS[1:])
    embed = alone("embed", "embedder")
    np.testing.assert_allclose(found, embed.similarity(embed(TEXTS[0]), embed(TEXTS[1:]))[0], atol=1e-6)


@pytest.mark.usefixtures("online")
def test_the_hub_s_client_chats(server: RunningServer) -> None:
    client = InferenceClient(base_url=f"{server.url}/v1", api_key="none")
    messages = [{"role": "user", "content": "Hello"}]
    whole = client.chat_completion(messages, model="chat", max_tokens=8, temperature=0)
    pieces = client.chat_completion(messages, model="chat", max_tokens=8, temperature=0, stream=True)
    streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert streamed == whole.choices[0].message.content
    # Without a model's name it sends a stand-in.
    client = InferenceClient(model=server.url, token="none")
    assert client.chat_completion(messages, max_tokens=8, temperature=0).choices[0].message.content == streamed


@pytest.fixture
def triton(server: RunningServer) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tritonclient.http

        with tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            client.module = tritonclient.http
            yield client


def test_triton_s_client_sees_the_models(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("classifier")
    assert triton.is_model_ready("classifier", "1")
    assert not triton.is_model_ready("nobody")
    metadata = triton.get_model_metadata("classifier")
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["input_ids", "attention_mask"]
    assert metadata["outputs"][0] == {"name": "logits", "datatype": "FP32", "shape": [-1, 2]}
    assert triton.get_server_metadata()["name"] == "headway"


@pytest.mark.parametrize("is_binary", [True, False])
def test_triton_s_client_runs_tensors(triton: Any, alone: Any, is_binary: bool) -> None:
    head = alone("text-classification", "classifier")
    ids = np.array(head.tokenizer(TEXTS[2])["input_ids"])[None]
    inputs = []
    for name, array in (("input_ids", ids), ("attention_mask", np.ones_like(ids))):
        inputs.append(triton.module.InferInput(name, list(array.shape), "INT64"))
        inputs[-1].set_data_from_numpy(array, binary_data=is_binary)
    outputs = [triton.module.InferRequestedOutput("logits", binary_data=is_binary)]
    expected = head.model(input_ids=ids).logits
    for wanted in (outputs, None):
        answer = triton.infer("classifier", inputs, outputs=wanted, request_id="7")
        np.testing.assert_allclose(answer.as_numpy("logits"), expected, atol=1e-6)
        assert answer.get_response()["id"] == "7"


@pytest.mark.parametrize("is_binary", [True, False])
def test_triton_s_client_runs_texts(triton: Any, alone: Any, is_binary: bool) -> None:
    def ask(name: str) -> Any:
        text = triton.module.InferInput("text", [len(TEXTS)], "BYTES")
        text.set_data_from_numpy(np.array(TEXTS, dtype=object), binary_data=is_binary)
        return triton.infer(name, [text])

    expected = alone("embed", "embedder")(TEXTS)
    np.testing.assert_allclose(ask("embedder").as_numpy("sentence_embedding"), expected, atol=1e-6)
    answer = ask("classifier")
    expected = alone("text-classification", "classifier")(TEXTS, top_k=None)
    labels = [[label.decode() for label in row] for row in answer.as_numpy("label").tolist()]
    assert labels == [[entry["label"] for entry in row] for row in expected]
    np.testing.assert_allclose(
        answer.as_numpy("score"), [[entry["score"] for entry in row] for row in expected], atol=1e-6
    )
    assert ask("tagger").as_numpy("result").shape == (3,)


def test_tensors_that_cannot_be_read(server: RunningServer) -> None:
    good = {"name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [2, 3]}
    for change in (
        {"shape": [1, 3]},
        {"shape": [2**40, 2**40]},
        {"datatype": "COMPLEX"},
        {"datatype": "INT8", "data": [2, 3000]},
        {"data": ["a", "b"]},
        {"data": [2, None]},
        {"data": [2.5, 1.0]},
        {"data": None},
        {"name": "nothing"},
        {"name": "return_dict"},
        {"data": [99, 3]},
        {"parameters": {"binary_data_size": 16}},
        {"parameters": {"binary_data_size": "x"}},
    ):
        response = server.post("/v2/models/classifier/infer", {"inputs": [{**good, **change}]})
        assert response.status_code == 400, change
        assert response.json().keys() == {"error"}
    headers = {"Inference-Header-Content-Length": "9999"}
    response = server.post("/v2/models/classifier/infer", {"inputs": [good]}, headers=headers)
    assert response.status_code == 400
    assert server.post("/v2/models/chat/infer", {"inputs": [good]}).status_code == 400
    assert server.get("/v2/models/classifier/versions/2").status_code == 404


@pytest.fixture
def cohere_client(server: RunningServer) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cohere

        with contextlib.ExitStack() as stack:
            yield lambda kind: stack.enter_context(getattr(cohere, kind)(api_key="none", base_url=server.url))


def test_cohere_s_clients_rerank(cohere_client: Any, alone: Any) -> None:
    expected = alone("rerank", "judge")("good film", TEXTS)
    order = [entry["corpus_id"] for entry in expected]
    answer = cohere_client("ClientV2").rerank(model="judge", query="good film", documents=TEXTS, top_n=2)
    assert [result.index for result in answer.results] == order[:2]
    assert answer.results[0].relevance_score == pytest.approx(expected[0]["score"], abs=1e-6)
    answer = cohere_client("Client").rerank(model="judge", query="good film", documents=TEXTS, return_documents=True)
    assert [result.document.text for result in answer.results] == [TEXTS[index] for index in order]


def test_cohere_s_client_classifies(cohere_client: Any, alone: Any) -> None:
    answer = cohere_client("Client").classify(model="classifier", inputs=TEXTS)
    expected = alone("text-classification", "classifier")(TEXTS, top_k=None)
    for found, labels in zip(answer.classifications, expected, strict=True):
        assert found.prediction == labels[0]["label"]
        assert found.labels[labels[1]["label"]].confidence == pytest.approx(labels[1]["score"], abs=1e-6)


def test_infinity_s_endpoints(server: RunningServer) -> None:
    ranked = server.post("/rerank", {"query": "good film", "documents": TEXTS, "return_documents": True}).json()
    assert [result["document"]["text"] for result in ranked["results"]] == [
        TEXTS[result["index"]] for result in ranked["results"]
    ]
    labels = server.post("/classify", {"model": "classifier", "input": TEXTS[:1]}).json()["data"]
    assert {entry["label"] for entry in labels[0]} == {"NEGATIVE", "POSITIVE"}


def test_tei_endpoints(server: RunningServer, alone: Any) -> None:
    embed = alone("embed", "embedder")
    vectors = server.post("/embed", {"inputs": TEXTS}).json()
    np.testing.assert_allclose(vectors, embed(TEXTS, normalize_embeddings=True), atol=1e-6)
    raw = server.post("/embed", {"inputs": TEXTS[0], "normalize": False, "dimensions": 3}).json()
    np.testing.assert_allclose(raw, embed(TEXTS[:1])[:, :3], atol=1e-6)
    states = server.post("/embed_all", {"inputs": TEXTS[:2]}).json()
    assert [np.shape(state) for state in states] == [(4, 8), (3, 8)]
    assert server.post("/", {"inputs": TEXTS}).json() == server.post("/invocations", {"inputs": TEXTS}).json()

    scores = server.post("/predict", {"inputs": TEXTS[0], "model": "classifier"}).json()
    assert [entry["label"] for entry in scores] == [
        entry["label"] for entry in alone("text-classification", "classifier")(TEXTS[0], top_k=None)
    ]
    several = server.post("/predict", {"inputs": [[TEXTS[0]], ["bad", "film"]], "model": "classifier"}).json()
    for found, alone_scores in zip(several[0], scores, strict=True):
        assert found["label"] == alone_scores["label"]
        assert found["score"] == pytest.approx(alone_scores["score"], abs=1e-6)
    assert len(several) == 2
    logits = server.post("/predict", {"inputs": TEXTS[0], "model": "classifier", "raw_scores": True}).json()
    assert sum(np.exp([entry["score"] for entry in logits])) != pytest.approx(1)

    ranks = server.post("/rerank", {"query": "good film", "texts": TEXTS, "return_text": True}).json()
    assert [rank["text"] for rank in ranks] == [TEXTS[rank["index"]] for rank in ranks]
    assert [rank["score"] for rank in ranks] == sorted((rank["score"] for rank in ranks), reverse=True)


def test_tei_tokenizes_and_decodes(server: RunningServer) -> None:
    (tokens,) = server.post("/tokenize", {"inputs": TEXTS[0], "model": "classifier"}).json()
    assert [token["text"] for token in tokens] == ["[CLS]", "good", "film", "[SEP]"]
    assert [token["special"] for token in tokens] == [True, False, False, True]
    assert [(token["start"], token["stop"]) for token in tokens[1:3]] == [(0, 4), (5, 9)]
    ids = [token["id"] for token in tokens]
    assert server.post("/decode", {"ids": ids, "model": "classifier"}).json() == ["good film"]
    assert server.post("/decode", {"ids": [ids, ids], "model": "classifier"}).json() == ["good film"] * 2
    kept = server.post("/decode", {"ids": ids, "skip_special_tokens": False, "model": "classifier"}).json()
    assert kept == ["[CLS] good film [SEP]"]


def test_tei_refuses_in_its_own_words(server: RunningServer) -> None:
    long = {"inputs": "good " * 50}
    for body, status in (
        ({"inputs": []}, 400),
        (long, 400),
        ({"inputs": 3}, 422),
        ({}, 422),
        ({"inputs": "x", "truncation_direction": "Left", "truncate": True}, 422),
        ({"inputs": ["x"] * 3000}, 413),
        ({"inputs": "good", "dimensions": 9}, 422),
    ):
        response = server.post("/embed", body)
        assert response.status_code == status
        assert response.json().keys() == {"error", "error_type"}
    # What to do is said in words of the endpoint, not of Python.
    assert server.post("/embed", long).json()["error"].endswith("where the endpoint takes truncate or truncation.")
    assert server.post("/embed", {**long, "truncate": True}).status_code == 200


def test_info_says_the_limits(server: RunningServer) -> None:
    info = server.get("/info").json()
    assert info["model_id"] in ("embedder", "judge", "classifier")
    assert info["max_client_batch_size"] == 2048


def test_pipelines(server: RunningServer, alone: Any) -> None:
    tasks = {card["task"]: card["models"] for card in server.get("/v1/pipelines").json()}
    assert tasks["embed"] == ["embedder"]
    assert tasks["rerank"] == ["judge"]
    found = server.post("/v1/pipelines/ner", {"inputs": TEXTS, "parameters": {"ignore_labels": []}}).json()
    expected = alone("token-classification", "tagger")(TEXTS, ignore_labels=[])
    assert [[entry["word"] for entry in row] for row in found] == [[e["word"] for e in row] for row in expected]
    for path, body, status in (
        ("nonsense", {"inputs": "x"}, 404),
        ("ner", {"inputs": "x", "parameters": {"nonsense": 1}}, 400),
        ("ner", {"inputs": "x", "parameters": {"show_progress": True}}, 400),
        ("ner", {"inputs": "x", "parameters": {"aggregation_strategy": 7}}, 400),
        ("ner", {"inputs": {"a": 1}}, 400),
        ("ner", {"inputs": []}, 400),
        ("fill-mask", {"inputs": "x"}, 404),
        ("text-generation", {"inputs": "x"}, 400),
    ):
        response = server.post(f"/v1/pipelines/{path}", body)
        assert response.status_code == status, (path, body, response.text)
        assert response.json()["error"]["message"]
