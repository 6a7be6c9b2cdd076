"""/ready, /metrics and /models: what those who run the sidecar look at."""

import shutil
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scalecast_assets.contract.layout import MANIFEST, MODEL_POINTER, model_key
from scalecast_assets.contract.store import DirectoryStore
from serving import kept_versions
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import (
    OLD_REQUEST,
    World,
    asking,
    linear_graph,
    promote,
    set_up,
    write_bundle,
    write_state,
)


def counted(api: httpx.Client, name: str, **labels: str) -> float:
    """Return a sample of /metrics; 0 if it is not there."""
    reply = api.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return 0.0


def reasons(api: httpx.Client) -> dict[str, str]:
    reply = api.get("/ready")
    assert reply.status_code == 503
    return {problem["field"]: problem["message"] for problem in reply.json()["detail"]}


def test_readiness_says_what_is_missing_until_nothing_is(home: Home, world: World) -> None:
    with running(home.settings) as api:
        missing = reasons(api)
        assert "serving/model.json is not there; `scalecast run` makes it" in missing["model"]
        assert "serving/state.json is not there" in missing["state"]
        assert api.get("/health").status_code == 200

        home.store.put(MODEL_POINTER, b"{}")
        eventually(lambda: "is refused" in reasons(api)["model"], "the bad pointer was read")

        write_state(home.store, world.panel("observed"))
        promote(home.store, "1.0.0", linear_graph(), world.encoders)
        eventually(lambda: set(reasons(api)) == {"pair"}, "both are in")
        assert "has the feature contract" in reasons(api)["pair"]

        write_state(home.store, world.panel())
        eventually(lambda: api.get("/ready").status_code == 200, "a pair that fits is in")
        assert api.get("/ready").json() == {
            "status": "ready",
            "model_version": "1.0.0",
            "data_until": "2024-03-14",
        }


def test_requests_are_counted_by_route_and_status_and_timed(home: Home, world: World) -> None:
    set_up(home.store, world)
    with running(home.settings) as api:
        for body in (OLD_REQUEST, OLD_REQUEST, asking(price=-1)):
            api.post("/predict", json=body)
        for path in ("/nothing", "/wp-admin", "/%00"):
            api.get(path)
        api.get("/history", params={"store_id": "STORE_001", "product_id": "PROD_A"})

        def of(route: str, status: int) -> float:
            return counted(api, "scalecast_requests_total", route=route, status=str(status))

        assert (of("/predict", 200), of("/predict", 422), of("/history", 200)) == (2, 1, 1)
        assert of("none", 404) == 3
        assert counted(api, "scalecast_request_seconds_count", route="/predict") == 3
        assert counted(api, "scalecast_request_seconds_bucket", route="/predict", le="60.0") == 3
        assert counted(api, "scalecast_requests_under_way") == 1


def test_predictions_are_counted_by_version_and_source(home: Home, world: World) -> None:
    set_up(home.store, world)
    rows = [asking(), asking(), asking(product_id="PROD_C")]
    with running(home.settings) as api:
        api.post("/predict", json=OLD_REQUEST)
        api.post("/predict/batch", json={"rows": rows})
        api.post(
            "/predict/batch",
            content=b'{"bad": 1}',
            headers={"Content-Type": "application/x-ndjson"},
        )
        api.post("/forecast", json={"store_id": "STORE_001", "product_id": "PROD_A", "horizon": 5})

        def of(source: str) -> float:
            return counted(api, "scalecast_predictions_total", version="1.0.0", source=source)

        assert (of("model"), of("series_mean"), of("global_mean")) == (1 + 2 + 5, 1, 0)


def test_what_is_served_and_how_old_it_is_can_be_read(home: Home, world: World) -> None:
    with running(home.settings) as api:
        assert counted(api, "scalecast_ready") == 0
        assert counted(api, "scalecast_model_info", version="1.0.0", candidate="xgboost") == 0
        set_up(home.store, world)
        eventually(lambda: counted(api, "scalecast_ready") == 1, "a model is in")

        assert counted(api, "scalecast_model_info", version="1.0.0", candidate="xgboost") == 1
        model_age = counted(api, "scalecast_model_age_seconds")
        state_age = counted(api, "scalecast_state_age_seconds")
        # The bundle was made at three o'clock after the last day of the state.
        assert state_age - model_age == pytest.approx(3 * 3600, abs=5)
        assert counted(api, "scalecast_state_series") == 6


def test_every_outcome_of_a_reload_is_counted(home: Home, world: World) -> None:
    def of(what: str, outcome: str) -> float:
        return counted(api, "scalecast_reloads_total", what=what, outcome=outcome)

    set_up(home.store, world)
    with running(home.settings) as api:
        eventually(lambda: of("pair", "swapped") == 1, "the first pair is in")
        assert (of("model", "accepted"), of("state", "accepted")) == (1, 1)
        home.store.put(MODEL_POINTER, b"{}")
        eventually(lambda: of("model", "refused") >= 1, "the bad pointer was refused")
        write_state(home.store, world.panel("observed"))
        eventually(lambda: of("pair", "mismatched") >= 1, "the other calendar was noticed")
        home.store.delete(MODEL_POINTER)
        eventually(lambda: of("model", "missing") >= 1, "the pointer's absence was noticed")
        assert of("model", "accepted") == 1


def test_reloads_are_counted_from_nought_so_that_the_first_one_can_be_seen(
    home: Home, world: World
) -> None:
    def of() -> dict[tuple[str, str], float]:
        return {
            (sample.labels["what"], sample.labels["outcome"]): sample.value
            for family in text_string_to_metric_families(api.get("/metrics").text)
            for sample in family.samples
            if sample.name == "scalecast_reloads_total"
        }

    with running(home.settings) as api:
        before = of()
        assert before["challenger", "refused"] == before["state", "accepted"] == 0
        set_up(home.store, world)
        eventually(lambda: of()["pair", "swapped"] == 1, "the first pair is in")
        assert set(of()) == set(before)


def test_two_applications_of_one_process_count_apart(
    home: Home, world: World, api: httpx.Client
) -> None:
    set_up(home.store, world)
    with running(home.settings) as other:
        before = counted(other, "scalecast_requests_total", route="/predict", status="200")
        api.post("/predict", json=OLD_REQUEST)
        after = counted(other, "scalecast_requests_total", route="/predict", status="200")

    assert before == after == 0


def versions(api: httpx.Client) -> dict[str, Any]:
    reply = api.get("/models")
    assert reply.status_code == 200
    found: dict[str, Any] = reply.json()
    return found


def test_the_kept_versions_are_listed_newest_first(any_home: Home, world: World) -> None:
    for version in ("1.9.0", "1.10.0"):
        write_bundle(any_home.store, version, linear_graph(), world.encoders)
    any_home.store.put(model_key("1.11.0", "claim.json"), b"{}")
    any_home.store.put(model_key("1.12.0", MANIFEST), b"{}")
    set_up(any_home.store, world)
    with running(any_home.settings) as api:
        found = versions(api)

    assert [one["version"] for one in found["versions"]] == ["1.10.0", "1.9.0", "1.0.0"]
    assert [one["is_served"] for one in found["versions"]] == [False, False, True]
    assert found["versions"][0]["mae"] == 2.5
    assert found["versions"][0]["fit_cutoff"] == "2024-03-14"
    assert found["stale_because"] is None


def test_while_the_store_is_away_the_versions_known_are_shown_and_why_they_are_old(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_versions, "FRESH_SECONDS", 0.0)
    assert isinstance(home.store, DirectoryStore)
    write_bundle(home.store, "0.9.0", linear_graph(), world.encoders)
    set_up(home.store, world)
    models, aside = home.store.root / "models", home.store.root / "aside"
    with running(home.settings) as api:
        before = versions(api)
        models.rename(aside)
        models.symlink_to(aside)  # which the store refuses to read
        away = versions(api)
        models.unlink()
        aside.rename(models)
        shutil.rmtree(models / "0.9.0")
        after = versions(api)

    assert away["versions"] == before["versions"]
    assert away["as_of"] == before["as_of"]
    assert "cannot be listed" in away["stale_because"]
    assert [one["version"] for one in after["versions"]] == ["1.0.0"]
    assert after["stale_because"] is None


def test_a_store_that_could_never_be_listed_still_leaves_the_served_version(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(home.store, world)
    with running(home.settings) as api:
        eventually(lambda: api.get("/ready").status_code == 200, "the model is in")
        assert isinstance(home.store, DirectoryStore)
        models, aside = home.store.root / "models", home.store.root / "aside"
        models.rename(aside)
        models.symlink_to(aside)
        found = versions(api)

    assert [one["version"] for one in found["versions"]] == ["1.0.0"]
    assert found["as_of"] is None
    assert "cannot be listed" in found["stale_because"]
