"""A model of Triton's Python backend: texts in, what Headway's pipeline gives out.

``headway triton --text`` copies this file into the repository as ``model.py``; Triton imports it there, in an
environment with Headway's runtime, and calls the class of the name that it prescribes.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from headway.runtime import pipeline
from headway.runtime.errors import HeadwayError

EMBED = "embed"


class TritonPythonModel:
    """Runs all texts that Triton has joined through one pipeline, which sorts them by length itself."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the artifact beside this file.

        Args:
            args: Triton's, with the model's configuration and where it lies.
        """
        parameters = {
            name: value["string_value"] for name, value in json.loads(args["model_config"])["parameters"].items()
        }
        self._task = parameters["task"]
        device = "cuda" if args["model_instance_kind"] == "GPU" else "cpu"
        threads = parameters.get("num_threads")
        self._pipeline = pipeline(
            self._task,
            model=str(Path(args["model_repository"]) / args["model_version"] / "artifact"),
            dtype=parameters["dtype"],
            device=f"cuda:{args['model_instance_device_id']}" if device == "cuda" else device,
            num_threads=int(threads) if threads else None,
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """An answer for each request; a text that cannot be used is its own request's error."""
        texts = [_texts(request) for request in requests]
        try:
            results = self._run([text for part in texts for text in part])
        except (HeadwayError, UnicodeDecodeError):
            return [self._answer_alone(part) for part in texts]
        answers, start = [], 0
        for part in texts:
            answers.append(self._response(results[start : start + len(part)]))
            start += len(part)
        return answers

    def _answer_alone(self, texts: list[bytes]) -> Any:
        from triton_python_backend_utils import InferenceResponse, TritonError

        try:
            return self._response(self._run(texts))
        except (HeadwayError, UnicodeDecodeError) as error:
            return InferenceResponse(output_tensors=[], error=TritonError(str(error)))

    def _run(self, texts: list[bytes]) -> Any:
        """Results of the texts, in order: an array of embeddings, or one JSON text for each."""
        results = self._pipeline([text.decode("utf-8") for text in texts])
        if self._task == EMBED:
            return np.asarray(results, dtype=np.float32)
        return np.array([[json.dumps(result).encode()] for result in results], dtype=np.object_)

    def _response(self, results: Any) -> Any:
        from triton_python_backend_utils import InferenceResponse, Tensor

        name = "embedding" if self._task == EMBED else "result"
        return InferenceResponse(output_tensors=[Tensor(name, results)])


def _texts(request: Any) -> list[bytes]:
    from triton_python_backend_utils import get_input_tensor_by_name

    texts: list[bytes] = get_input_tensor_by_name(request, "text").as_numpy().reshape(-1).tolist()
    return texts
