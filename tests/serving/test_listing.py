"""/stores, /series and /model/report: what there is to ask about, page by page, and the report."""

import time
from dataclasses import replace

import httpx
import pytest

from scalecast_assets.contract.layout import REPORT, model_key
from serving.keys import new_key
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import World, set_up
from tests.serving.test_refusals import refused


def listed(api: httpx.Client, **asked: object) -> tuple[list[str], int]:
    """The products of a listing, and how many there are on all pages."""
    reply = api.get("/series", params={name: str(value) for name, value in asked.items()})
    assert reply.status_code == 200, reply.text
    return [one["product_id"] for one in reply.json()["series"]], reply.json()["total"]


def test_stores_are_listed_with_what_they_sell(api: httpx.Client) -> None:
    assert api.get("/stores").json() == {
        "stores": [
            {"store_id": "STORE_001", "data_until": "2024-03-14", "active_series": 3},
            {"store_id": "STORE_002", "data_until": "2024-03-14", "active_series": 3},
        ],
        "total": 2,
    }
    found = api.get("/stores", params={"q": "e_002"}).json()
    assert ([one["store_id"] for one in found["stores"]], found["total"]) == (["STORE_002"], 1)


def test_series_are_listed_by_store_and_product_page_by_page(api: httpx.Client) -> None:
    everything, total = listed(api)

    assert everything == ["PROD_A", "PROD_B", "PROD_C", "PROD_A", "PROD_C", "PROD_D"]
    assert total == 6
    pages = [listed(api, limit=4, offset=offset) for offset in (0, 4, 8)]
    assert pages == [(everything[:4], 6), (everything[4:], 6), ([], 6)]
    assert listed(api, store_id="STORE_002") == (["PROD_A", "PROD_C", "PROD_D"], 3)
    assert listed(api, store_id="STORE_002", q="d_d") == (["PROD_D"], 1)
    assert listed(api, store_id="nowhere") == listed(api, q="é") == ([], 0)


def test_a_listed_series_tells_whether_and_how_well_it_sells(home: Home, world: World) -> None:
    sales = {
        **world.sales,
        ("STORE_002", "GONE"): dict(list(world.sales["STORE_002", "PROD_A"].items())[:20]),
    }
    set_up(home.store, World(world.open_days, sales, encoders=world.encoders))
    with running(home.settings) as api:
        eventually(lambda: api.get("/ready").status_code == 200, "the model is in")
        page = {"store_id": "STORE_002", "limit": "2"}
        gone, alive = api.get("/series", params=page).json()["series"]

    assert (gone["product_id"], gone["is_active"]) == ("GONE", False)
    last = list(world.sales["STORE_002", "PROD_A"].values())[-28:]
    assert (alive["product_id"], alive["is_active"]) == ("PROD_A", True)
    assert alive["mean_28_days"] == pytest.approx(sum(last) / 28)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "9" * 40}, "offset"),
        ({"q": "x" * 501}, "q"),
        ({"store_id": ""}, "store_id"),
        ({"wrong": "1"}, "wrong"),
    ],
)
def test_a_bad_parameter_is_named(api: httpx.Client, asked: dict[str, str], field: str) -> None:
    assert refused(api.get("/series", params=asked), 422)["field"] == field


def test_thirty_thousand_series_are_listed_quickly(home: Home, world: World) -> None:
    day = world.open_days["STORE_002"][-1]
    sales = {
        (f"S{store:02}", f"P{product:05}"): {day: 1.0}
        for store in range(10)
        for product in range(3_000)
    }
    open_days = {f"S{store:02}": [day] for store in range(10)}
    set_up(home.store, World(open_days, sales, encoders=world.encoders))
    with running(home.settings) as api:
        eventually(lambda: api.get("/ready").status_code == 200, "the model is in", seconds=60)
        started = time.perf_counter()
        found, total = listed(api, q="p0299", store_id="S07")
        seconds = time.perf_counter() - started

    assert found == [f"P{n:05}" for n in range(2_990, 3_000)]
    assert total == 10
    assert seconds < 5  # a tenth of a second on a machine that is not busy


def test_the_report_is_the_bundles_own_and_may_do_nothing(api: httpx.Client) -> None:
    reply = api.get("/model/report")

    assert reply.status_code == 200
    assert reply.text == "<!doctype html><title>Report</title>"
    assert reply.headers["content-type"].startswith("text/html")
    assert "sandbox" in reply.headers["content-security-policy"]
    assert "script" not in reply.headers["content-security-policy"]


def test_a_report_that_was_altered_or_is_not_there_is_not_shown(home: Home, world: World) -> None:
    set_up(home.store, world)
    with running(home.settings) as api:
        eventually(lambda: api.get("/ready").status_code == 200, "the model is in")
        home.store.put(model_key("1.0.0", REPORT), b"<!doctype html><title>Hijack</title>")
        assert "sha256" in refused(api.get("/model/report"), 404)["message"]


def test_keys_guard_the_listings_and_the_report_but_not_the_page(home: Home, world: World) -> None:
    set_up(home.store, world)
    key, line = new_key("shop")
    closed = ["/stores", "/series", "/model/report"]
    with running(replace(home.settings, api_keys=line)) as api:
        eventually(lambda: api.get("/ready").status_code == 200, "the model is in")
        assert [api.get(path).status_code for path in closed] == [401] * 3
        api.headers["X-API-Key"] = key
        assert [api.get(path).status_code for path in closed] == [200] * 3
        del api.headers["X-API-Key"]
        for path in ("/", "/page/app.js", "/page/style.css"):
            assert api.get(path).status_code == 200
        assert api.get("/page/%2e%2e/docs.html").status_code == 404
