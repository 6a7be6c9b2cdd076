"""What the process counts, in a registry of its own, as Prometheus reads it at ``/metrics``.

Each application has its own ``Metrics``. What is asked for at every request is looked up once and
kept: finding a label costs as much as counting does. Ages are computed when they are asked for.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.forecaster import Forecaster

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
"""Seconds: from a single row to a whole store."""


class Metrics:
    """Counts requests, forecasts and reloads; knows what is served."""

    def __init__(self, served: Callable[[], Forecaster | None]) -> None:
        """``served`` returns what answers now."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "scalecast_requests",
            "Requests answered, by route and status.",
            ("route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "scalecast_request_seconds",
            "From the request's headers to the last byte of the answer, by route.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._predictions = Counter(
            "scalecast_predictions",
            "Forecast days answered, by model version and by where the number comes from.",
            ("version", "source"),
            registry=self.registry,
        )
        self._reloads = Counter(
            "scalecast_reloads",
            "Looks at what is promoted that found something, by pointer and outcome.",
            ("what", "outcome"),
            registry=self.registry,
        )
        self.under_way = Gauge(
            "scalecast_requests_under_way",
            "Requests that are being answered now.",
            registry=self.registry,
        )
        self.stale = Gauge(
            "scalecast_stale",
            "1 while what answers could not be confirmed by the store.",
            registry=self.registry,
        )
        self.registry.register(_Served(served))
        self._routes: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._sources: dict[tuple[str, str], Counter] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is a template, never what a caller made up."""
        pair = self._routes.get((route, status))
        if pair is None:
            pair = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._routes[route, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def predicted(self, version: str, source: str, n: int = 1) -> None:
        """Count ``n`` forecast days."""
        counter = self._sources.get((version, source))
        if counter is None:
            counter = self._sources[version, source] = self._predictions.labels(version, source)
        counter.inc(n)

    def reloaded(self, what: str, outcome: str) -> None:
        """Count a look at ``what``: ``model``, ``state``, the ``pair`` of both, or the kept one."""
        self._reloads.labels(what, outcome).inc()

    def to_text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Served(Collector):
    """What is served and how old it is, computed when asked for."""

    def __init__(self, served: Callable[[], Forecaster | None]) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; those of a model only while there is one."""
        forecaster = self._served()
        ready = "Whether a verified model and a history that fits it are in."
        yield GaugeMetricFamily("scalecast_ready", ready, value=float(forecaster is not None))
        if forecaster is None:
            return
        manifest, state = forecaster.model.manifest, forecaster.state
        now = time.time()
        info = GaugeMetricFamily(
            "scalecast_model_info", "The model that answers now.", labels=("version", "candidate")
        )
        info.add_metric((manifest.version, manifest.candidate), 1)
        yield info
        yield GaugeMetricFamily(
            "scalecast_model_age_seconds",
            "Since the model that answers was made.",
            value=now - datetime.fromisoformat(manifest.created_at).timestamp(),
        )
        day_after = datetime.combine(state.data_until, datetime.min.time(), UTC).timestamp() + 86400
        yield GaugeMetricFamily(
            "scalecast_state_age_seconds",
            "Since the end of the latest day in the history.",
            value=now - day_after,
        )
        yield GaugeMetricFamily(
            "scalecast_state_series", "Series in the history.", value=state.panel.n_series
        )
