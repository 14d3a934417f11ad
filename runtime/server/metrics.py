"""What the server measures, as Prometheus reads it.

The ``te_`` names are those of text-embeddings-inference, so that its dashboards keep working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .heads.batcher import Timings
from .served_model import ServedModel

Counted = TypeVar("Counted", Counter, Histogram)

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class ServerMetrics:
    """Counters and histograms of one server.

    Args:
        models: gives the loaded models when they are read.
        num_in_progress: gives how many requests are not answered.
    """

    def __init__(
        self, models: Callable[[], Iterable[ServedModel]], num_in_progress: Callable[[], int] = lambda: 0
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Levels(models))
        self._requests = self._counter("headway_requests", "Requests answered.", ("endpoint", "status"))
        self._request_seconds = self._histogram("headway_request_seconds", "Whole requests.", _SECONDS, ("endpoint",))
        in_progress = Gauge("headway_requests_in_progress", "Requests not answered.", registry=self._registry)
        in_progress.set_function(num_in_progress)
        self._prompt_tokens = self._counter("headway_prompt_tokens", "Tokens read.", ("model",))
        self._cached_tokens = self._counter("headway_cached_prompt_tokens", "Tokens not run again.", ("model",))
        self._new_tokens = self._counter("headway_generated_tokens", "Tokens written.", ("model",))
        self._first_token = self._histogram("headway_time_to_first_token_seconds", "", _SECONDS, ("model",))
        self._per_token = self._histogram("headway_time_per_token_seconds", "", _SECONDS, ("model",))
        self._queue = self._histogram("headway_queue_seconds", "Waiting for a round.", _SECONDS, ("model",))
        self._tokenization = self._histogram("headway_tokenization_seconds", "", _SECONDS, ("model",))
        self._inference = self._histogram("headway_inference_seconds", "", _SECONDS, ("model",))
        self._batch_rows = self._histogram("headway_batch_rows", "Rows of a round.", _COUNTS, ("model",))
        self._batch_tokens = self._histogram("headway_batch_tokens", "Tokens of a round.", _TOKENS, ("model",))
        self._te_count = _PlainCounter("te_request_count", "Requests answered.", "method")
        self._registry.register(self._te_count)
        self._te_duration = self._plain_histogram("te_request_duration", "Whole requests.", _SECONDS)
        self._te_queue = self._plain_histogram("te_request_queue_duration", "", _SECONDS)
        self._te_tokenization = self._plain_histogram("te_request_tokenization_duration", "", _SECONDS)
        self._te_inference = self._plain_histogram("te_request_inference_duration", "", _SECONDS)
        self._te_batch_rows = self._plain_histogram("te_batch_next_size", "Rows of a round.", _COUNTS)
        self._te_batch_tokens = self._plain_histogram("te_batch_next_tokens", "Tokens of a round.", _TOKENS)

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)

    def end_request(self, endpoint: str, status: int, seconds: float, *, is_open: bool = False) -> None:
        """A request was answered.

        Args:
            endpoint: the path's pattern, never the path itself.
            status: HTTP status.
            seconds: since it came.
            is_open: it asked for a page, health or measurements, which text-embeddings-inference does not count.
        """
        self._requests[endpoint, str(status)].inc()
        self._request_seconds[endpoint,].observe(seconds)
        if not is_open:
            self._te_count.inc(endpoint)
            self._te_duration.observe(seconds)

    def observe_head(self, model: str, num_tokens: int, timings: Timings) -> None:
        """A head answered a request."""
        self._prompt_tokens[model,].inc(num_tokens)
        for by_model, alone, seconds in (
            (self._queue, self._te_queue, timings.queue_s),
            (self._tokenization, self._te_tokenization, timings.tokenization_s),
            (self._inference, self._te_inference, timings.inference_s),
        ):
            by_model[model,].observe(seconds)
            alone.observe(seconds)

    def observe_round(self, model: str, num_rows: int, num_tokens: int) -> None:
        """A batch ran."""
        self._batch_rows[model,].observe(num_rows)
        self._batch_tokens[model,].observe(num_tokens)
        self._te_batch_rows.observe(num_rows)
        self._te_batch_tokens.observe(num_tokens)

    def observe_prompt(self, model: str, num_tokens: int, num_cached_tokens: int) -> None:
        """A prompt was read."""
        self._prompt_tokens[model,].inc(num_tokens)
        self._cached_tokens[model,].inc(num_cached_tokens)

    def observe_token(self, model: str, seconds: float, *, is_first: bool) -> None:
        """A token came, so many seconds after the request or after the token before it."""
        self._new_tokens[model,].inc()
        (self._first_token if is_first else self._per_token)[model,].observe(seconds)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> _Children[Counter]:
        return _Children(Counter(name, text, labels, registry=self._registry))

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...]
    ) -> _Children[Histogram]:
        return _Children(Histogram(name, text, labels, buckets=buckets, registry=self._registry))

    def _plain_histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self._registry)


class _Children(dict[tuple[str, ...], Counted]):
    """What a measurement has counted, by the values of its labels: its own look-up costs as much as the counting."""

    def __init__(self, measurement: Counted) -> None:
        super().__init__()
        self._measurement: Counted = measurement

    def __missing__(self, values: tuple[str, ...]) -> Counted:
        """Begin to count for these values."""
        self[values] = self._measurement.labels(*values)
        return self[values]


class _PlainCounter(Collector):
    """A counter under its name alone: prometheus-client's own ends every name with ``_total``.

    Args:
        name: of the counter.
        text: for people.
        label: of each of its values.
    """

    def __init__(self, name: str, text: str, label: str) -> None:
        self._name, self._text, self._label = name, text, label
        self._counts: dict[str, int] = {}

    def inc(self, value: str) -> None:
        """Count one more; called in the loop alone."""
        self._counts[value] = self._counts.get(value, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The counter, without a type, which would bring the ending back."""
        metric = Metric(self._name, self._text, "unknown")
        for value, count in tuple(self._counts.items()):
            metric.add_sample(self._name, {self._label: value}, count)
        yield metric


class _Levels(Collector):
    """What is read off the models when Prometheus asks."""

    def __init__(self, models: Callable[[], Iterable[ServedModel]]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Queues, running sequences and cache sizes, by model."""
        num_waiting = 0
        waiting = GaugeMetricFamily("headway_queue_size", "Requests that wait.", labels=["model"])
        running = GaugeMetricFamily("headway_running", "Requests that run.", labels=["model"])
        cache = GaugeMetricFamily("headway_prefix_cache_bytes", "Memory of earlier prompts.", labels=["model"])
        deaths = GaugeMetricFamily("headway_worker_restarts", "Times a worker broke down.", labels=["model"])
        for model in self._models():
            levels = model.levels
            num_waiting += levels.num_waiting
            waiting.add_metric([model.name], levels.num_waiting)
            running.add_metric([model.name], levels.num_running)
            if model.generates:
                cache.add_metric([model.name], levels.prefix_cache_bytes)
            deaths.add_metric([model.name], levels.num_deaths)
        yield from (waiting, running, cache, deaths)
        yield GaugeMetricFamily("te_queue_size", "Requests that wait.", num_waiting)
