"""The shadow: it changes no answer, whatever it does, and what it compares is counted and told."""

import logging
import re
from typing import Any, NoReturn

import httpx
import numpy as np
import pytest

from scalecast_assets.contract.challenger import Challenger
from serving.metrics import Metrics
from serving.shadow import MAX_ROWS, Shadow, drawn
from serving.traffic import Rival
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import World, asking, linear_graph, point_at, write_bundle, write_state

CHAMPION, CHALLENGER = "1.0.0", "1.1.0"
ROWS = [
    asking(store_id=store, product_id=product, date=date)
    for store, product in (("STORE_001", "PROD_A"), ("STORE_002", "PROD_D"), ("NEW", "NEWER"))
    for date in ("2024-03-10", "2024-03-15", "2024-04-20")
]
KSERVE = {
    "model": "scalecast",
    "inputs": [
        {
            "type": "univariate_time_series", "name": "x", "series": [], "frequency": "D",
            "store_id": "STORE_001", "product_id": "PROD_A",
        }
    ],
    "options": {"horizon": 3},
}  # fmt: skip


def answers(api: httpx.Client) -> list[Any]:
    """Ask in every way; without what is new in each answer of the protocol."""
    asked: list[tuple[str, Any]] = [
        *(("/predict", row) for row in ROWS),
        ("/predict/batch", {"rows": ROWS}),
        ("/forecast", {"store_id": "STORE_002", "horizon": 5}),
    ]
    told = [api.post(path, json=body).json() for path, body in asked]
    protocol = api.post("/v1/timeseries/forecast", json=KSERVE).json()
    return [*told, protocol["model_version"], protocol["outputs"][0]["content"]]


def value(api: httpx.Client, name: str, **labels: str) -> float:
    """Read one counter; 0 where it is not there yet."""
    for line in api.get("/metrics").text.splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rpartition(" ")[2])
    return 0.0


def serve(home: Home, world: World, graph: bytes) -> str:
    write_state(home.store, world.panel())
    sha256 = write_bundle(home.store, CHAMPION, linear_graph({}, bias=10.0), world.encoders)
    point_at(home.store, CHAMPION, sha256)
    write_bundle(home.store, CHALLENGER, graph, world.encoders)
    return sha256


def cast_shadow(home: Home, world: World, graph: bytes) -> None:
    champion = serve(home, world, graph)
    sha256 = write_bundle(home.store, CHALLENGER, graph, world.encoders)
    entry = Challenger(CHALLENGER, sha256, 1.0, "shadow")
    point_at(home.store, CHAMPION, champion, challenger=entry)


def test_a_shadow_changes_no_answer_and_its_difference_is_recorded(
    home: Home, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    graph = linear_graph({}, bias=13.0)
    serve(home, world, graph)
    with running(home.settings) as api:
        alone = answers(api)
    cast_shadow(home, world, graph)
    caplog.set_level(logging.INFO)
    with running(home.settings) as api:
        assert api.get("/model").json()["challenger"]["mode"] == "shadow"
        assert answers(api) == alone
        # of the nine rows six are the model's, once alone and once in the batch; 3 series, 3 days
        n = 6 + 6 + 3 * 5 + 3
        counted = {"version": CHALLENGER, "champion": CHAMPION}
        eventually(
            lambda: value(api, "scalecast_shadow_predictions_total", **counted) == n,
            "all are compared",
        )
        assert value(api, "scalecast_shadow_difference_units_total", **counted) == 3.0 * n
        assert value(api, "scalecast_shadow_champion_units_total", **counted) == 10.0 * n
        assert value(api, "scalecast_shadow_share", version=CHALLENGER) == 1.0
        assert value(api, "scalecast_model_share", version=CHAMPION) == 1.0
        assert value(api, "scalecast_predictions_total", version=CHALLENGER) == 0
    said = [record for record in caplog.records if record.name == "serving.shadow"]
    assert said
    fields = said[0].__dict__["fields"]
    assert (fields["champion"], fields["challenger"]) == (CHAMPION, CHALLENGER)
    assert fields["mean_absolute_difference"] == 3.0
    assert fields["store_id"] == "STORE_001"
    assert re.fullmatch(r"[\w.-]+", fields["request_id"])


def test_a_shadow_with_a_share_compares_only_its_series(home: Home, world: World) -> None:
    champion = serve(home, world, b"")
    sha256 = write_bundle(home.store, CHALLENGER, linear_graph({}, bias=13.0), world.encoders)
    entry = Challenger(CHALLENGER, sha256, 0.2, "shadow")
    point_at(home.store, CHAMPION, champion, challenger=entry)
    assert not entry.takes("STORE_001", "PROD_A")
    assert entry.takes("STORE_002", "PROD_D")
    counted = {"version": CHALLENGER, "outcome": "compared"}
    with running(home.settings) as api:
        api.post("/predict", json=asking(store_id="STORE_001", product_id="PROD_A"))
        api.post("/predict", json=asking(store_id="STORE_002", product_id="PROD_D"))
        eventually(
            lambda: value(api, "scalecast_shadow_predictions_total", **counted) == 1.0,
            "one of two is compared",
        )


def rival() -> Rival:
    return Rival(Challenger(CHALLENGER, "a" * 64, 1.0, "shadow"), None)  # type: ignore[arg-type]


def outcomes(metrics: Metrics) -> dict[str, float]:
    found = re.findall(
        r'scalecast_shadow_predictions_total\{.*outcome="(\w+)".*\} (\S+)',
        metrics.to_text().decode(),
    )
    return {outcome: float(n) for outcome, n in found}


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted() -> None:
    metrics = Metrics(lambda: None)
    shadow = Shadow(metrics, waiting=2)
    for _ in range(5):  # nobody compares: the thread was not started
        shadow.offer(rival(), CHAMPION, np.ones(3), lambda: np.ones(3))
    assert outcomes(metrics) == {"dropped": 9.0}
    shadow.stop()


def test_a_challenger_that_fails_in_the_shadow_is_counted_and_the_next_is_compared() -> None:
    metrics = Metrics(lambda: None)
    shadow = Shadow(metrics)

    def fail() -> NoReturn:
        raise RuntimeError("the graph fails")

    shadow.start()
    shadow.offer(rival(), CHAMPION, np.ones(3), fail)
    shadow.offer(rival(), CHAMPION, np.array([1.0, np.nan]), lambda: np.array([4.0, 9.0]))
    eventually(lambda: outcomes(metrics) == {"failed": 3.0, "compared": 1.0}, "both are counted")
    shadow.stop()
    assert "scalecast_shadow_difference_units_total" in metrics.to_text().decode()


def test_of_many_rows_an_even_draw_is_compared() -> None:
    rows = np.arange(10_000)
    found = drawn(rows)
    assert len(set(found.tolist())) == MAX_ROWS
    assert (found[0], found[-1]) == (0, 9_999)
    assert drawn(rows[:7]).tolist() == list(range(7))
