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

from serving.traffic import Traffic

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
"""Seconds: from a single row to a whole store."""

RELOADS: Final = {
    "model": ("accepted", "refused", "unreadable", "missing"),
    "state": ("accepted", "refused", "unreadable", "missing"),
    "pair": ("swapped", "mismatched", "failed"),
    "kept": ("written", "unwritable", "taken", "refused"),
    "challenger": ("accepted", "refused", "unreadable"),
}
"""What is looked at, and what may come of it. Counted from 0: from nothing to 1 is no rise."""


class Metrics:
    """Counts requests, forecasts and reloads; knows what is served."""

    def __init__(self, served: Callable[[], Traffic | None]) -> None:
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
        for what, outcomes in RELOADS.items():
            for outcome in outcomes:
                self._reloads.labels(what, outcome)
        shadow = ("version", "champion")
        self._shadowed = Counter(
            "scalecast_shadow_predictions",
            "Forecast days answered by the champion and offered to the shadow, by what came of it.",
            (*shadow, "outcome"),
            registry=self.registry,
        )
        self._difference = Counter(
            "scalecast_shadow_difference_units",
            "Sum of |challenger - champion| over the days compared.",
            shadow,
            registry=self.registry,
        )
        self._champion_units = Counter(
            "scalecast_shadow_champion_units",
            "Sum of the champion's forecasts over the days compared.",
            shadow,
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
        """Count a look at ``what``: ``model``, ``state``, ``pair``, ``kept`` or ``challenger``."""
        self._reloads.labels(what, outcome).inc()

    def shadowed(self, version: str, champion: str, outcome: str, n: int) -> None:
        """Count ``n`` days that were ``compared`` or ``dropped``, or for which that ``failed``."""
        self._shadowed.labels(version, champion, outcome).inc(n)

    def differed(
        self, version: str, champion: str, *, difference: float, champion_units: float
    ) -> None:
        """Add up how far the challenger was from the champion, in units."""
        self._difference.labels(version, champion).inc(difference)
        self._champion_units.labels(version, champion).inc(champion_units)

    def to_text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Served(Collector):
    """What is served and how old it is, computed when asked for."""

    def __init__(self, served: Callable[[], Traffic | None]) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; those of a model only while there is one."""
        traffic = self._served()
        ready = "Whether a verified model and a history that fits it are in."
        yield GaugeMetricFamily("scalecast_ready", ready, value=float(traffic is not None))
        yield from _shares(traffic)
        if traffic is None:
            return
        forecaster = traffic.champion
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


def _shares(traffic: Traffic | None) -> Iterator[Metric]:
    """Yield who answers for which share of the series, and whom the shadow compares."""
    share = GaugeMetricFamily(
        "scalecast_model_share",
        "Share of the series that a version answers for.",
        labels=("version", "role"),
    )
    shadow = GaugeMetricFamily(
        "scalecast_shadow_share",
        "Share of the series for which a version is compared with the champion.",
        labels=("version",),
    )
    if traffic is not None:
        split = traffic.split.entry.share if traffic.split else 0.0
        share.add_metric((traffic.champion.model.version, "champion"), 1 - split)
        if traffic.split:
            share.add_metric((traffic.split.entry.version, "challenger"), split)
        if traffic.shadow:
            shadow.add_metric((traffic.shadow.entry.version,), traffic.shadow.entry.share)
    yield share
    yield shadow
