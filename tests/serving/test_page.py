"""The page at / in a real Chromium: it shows what the API answers, and says what is wrong."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.challenger import Challenger, Mode
from scalecast_assets.contract.store import DirectoryStore
from serving import kept_versions
from serving.keys import new_key
from tests.serving.chromium import PATIENCE_MS, chromium, opened
from tests.serving.conftest import Home, running
from tests.serving.makers import World, linear_graph, point_at, set_up, write_bundle

SERIES = {"store_id": "STORE_002", "product_id": "PROD_A"}
AT = "/?store=STORE_002&product=PROD_A"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the module."""
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, api: httpx.Client) -> Iterator[Page]:
    """The page of a series, with its forecast."""
    with opened(browser, f"{api.base_url}{AT}") as found:
        is_drawn(found)
        yield found


def is_drawn(page: Page, what: str = "PROD_A in STORE_002") -> None:
    expect(page.locator("#title")).to_have_text(what)
    expect(page.locator("#result")).not_to_have_attribute("aria-busy", "true")


def becomes(page: Page, condition: Callable[[], bool]) -> None:
    """Wait until it holds, letting the page work meanwhile."""
    for _ in range(PATIENCE_MS // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    assert condition()


def column(page: Page, table: str, number: int) -> list[float]:
    """The exact values behind the numbers of one column, 1 being the first after the day."""
    cells = page.locator(f"#{table} tbody td:nth-of-type({number}) data")
    return [float(one) for one in cells.evaluate_all("all => all.map((one) => one.value)")]


def asked(api: httpx.Client, **fields: Any) -> list[dict[str, Any]]:
    reply = api.post("/forecast", json={**SERIES, **fields})
    days: list[dict[str, Any]] = reply.json()["series"][0]["days"]
    return days


def forecast_by(api: httpx.Client, **fields: Any) -> list[float]:
    return [day["prediction"] for day in asked(api, **fields)]


def exact(page: Page, name: str) -> float:
    return float(page.locator(f"#{name} data").get_attribute("value") or "nan")


def test_it_shows_the_forecast_the_history_and_last_week_as_the_api_answers_them(
    page: Page, api: httpx.Client
) -> None:
    history = api.get("/history", params={**SERIES, "days": 56}).json()["days"]
    last_week = [day["quantity_sold"] for day in history[-7:]]
    page.locator("#past summary").click()

    assert column(page, "coming", 3) == forecast_by(api, horizon=14)
    assert column(page, "coming", 6) == last_week * 2
    assert column(page, "history", 1) == [day["quantity_sold"] for day in reversed(history)]
    assert exact(page, "total") == pytest.approx(sum(forecast_by(api, horizon=14)))
    assert exact(page, "naive-total") == 2 * sum(last_week)
    assert page.locator("#total").inner_text() == f"{exact(page, 'total'):.0f}"
    expect(page.locator("#source")).to_have_text(re.compile("^From model 1.0.0. .* 2024-03-14"))
    expect(page.locator("#errors .served td").first).to_have_text("2.5")
    expect(page.locator("#card-body")).to_contain_text("29 % less than the best simple rule")
    expect(page.locator("#facts")).to_contain_text("aaaaaaaaaaaa")
    assert len(page.locator("#plot .dot.forecast").all()) == 14


def test_a_price_and_a_promotion_move_the_forecast_and_the_original_stays_in_sight(
    page: Page, api: httpx.Client
) -> None:
    before = forecast_by(api, horizon=14)
    plan = [
        {"date": "2024-03-16", "promotion": True},
        {"date": "2024-03-18", "price": 12.5},
        {"date": "2024-03-19", "price": 12.5},
    ]
    after = forecast_by(api, horizon=14, plan=plan)
    path = page.locator("#plot path.forecast")
    drawn = path.get_attribute("d")

    page.get_by_label("Promotion on 2024-03-16").check()
    page.get_by_label("From", exact=True).select_option("2024-03-18")
    page.get_by_label("To", exact=True).select_option("2024-03-19")
    page.locator("#many-price").fill("12,5")
    page.get_by_role("button", name="Apply").click()

    assert after != before
    becomes(page, lambda: column(page, "coming", 3) == after)
    assert column(page, "coming", 5) == before
    assert exact(page, "change") == pytest.approx(sum(after) - sum(before))
    prices = [12.5 if day["date"] in ("2024-03-18", "2024-03-19") else 20.0 for day in asked(api)]
    value = sum(a * price for a, price in zip(after, prices, strict=True))
    assert exact(page, "value") == pytest.approx(value)
    assert path.get_attribute("d") != drawn
    expect(page.locator("#plot path.before")).to_have_count(1)
    expect(page.locator("#plot .promotion")).to_have_count(1)

    page.goto(page.url)  # as somebody does who was sent the address
    is_drawn(page)
    becomes(page, lambda: column(page, "coming", 3) == after)
    page.get_by_role("button", name="Undo all").click()
    expect(page.locator("#coming .is-changed")).to_have_count(0)
    assert column(page, "coming", 3) == before
    assert "plan" not in page.url


def test_a_late_answer_to_an_older_question_is_not_shown(page: Page, api: httpx.Client) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if '"price":10' in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/forecast", hold)
    field = page.get_by_label("Price on 2024-03-15")
    field.fill("10")
    becomes(page, lambda: bool(held))
    field.fill("12")
    wanted = forecast_by(api, horizon=14, plan=[{"date": "2024-03-15", "price": 12.0}])
    becomes(page, lambda: column(page, "coming", 3) == wanted)
    with suppress(Error):  # the browser may know that nobody waits for it any more
        held[0].continue_()
    page.wait_for_timeout(500)
    assert column(page, "coming", 3) == wanted


def test_everything_can_be_done_with_the_keyboard_and_the_focus_is_always_seen(
    browser: Browser, api: httpx.Client
) -> None:
    with opened(browser, str(api.base_url)) as page:
        is_drawn(page, "PROD_A in STORE_001")
        press = page.keyboard.press
        seen = []
        for _ in range(12):
            press("Tab")
            focused = page.evaluate("document.activeElement.id")
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            seen.append((focused, outline))
            if focused == "store":
                page.keyboard.type("002")
                press("Enter")
                is_drawn(page, "PROD_A in STORE_002")
            if focused == "product":
                press("ArrowDown")
                expect(page.locator("#product-list li")).to_have_count(3)
                press("ArrowDown")
                press("Enter")
                is_drawn(page, "PROD_C in STORE_002")
            if focused == "day":
                press("ArrowRight")
                expect(page.locator("#readout")).to_have_text(
                    re.compile("^2024-03-16 Sat forecast")
                )
            if focused == "many-price":
                page.keyboard.type("5")
                press("Enter")
        expect(page.locator("#change data")).to_have_count(1)
        assert [name for name, _ in seen][4:7] == ["days", "day", "from"]
        assert [name for name, outline in seen if outline != "solid"] == []
        assert "plan=" in page.url
        page.go_back()
        page.go_back()
        is_drawn(page, "PROD_A in STORE_001")
        expect(page.locator("#change data")).to_have_count(0)


def test_closed_days_are_said_to_be_closed_and_a_new_product_why_it_has_no_model(
    browser: Browser, api: httpx.Client
) -> None:
    with opened(browser, f"{api.base_url}/?store=STORE_001&product=PROD_A&days=7") as page:
        is_drawn(page, "PROD_A in STORE_001")
        expect(page.locator("#coming tr.is-closed")).to_have_text(
            re.compile("2024-03-17 Sun.*closed")
        )
        expect(page.locator("#total-note")).to_have_text("2024-03-15 to 2024-03-21, 1 closed")
        assert len(column(page, "coming", 3)) == 6
        field = page.get_by_role("combobox", name="Product")
        field.click()
        page.get_by_role("option", name="PROD_C").click()
        expect(page.locator("#source")).to_contain_text("the mean of this product in this store")
        expect(page.locator("#source")).to_contain_text("fewer than 14 days of history")
        field.fill("a novelty")
        expect(page.get_by_role("option", name="a product not sold here so far")).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.locator("#source")).to_contain_text(
            "the mean of what this store sells, because"
        )
        expect(page.locator("#source")).to_contain_text("never sold in this store")


def test_what_is_wrong_with_a_price_is_said_beside_it(page: Page, api: httpx.Client) -> None:
    field = page.get_by_label("Price on 2024-03-17")
    for text, said in (
        ("-3", "must be greater than 0"),
        ("cheap", "must be a number, like 19.99"),
        ("1e99", "must be at most 1e+09"),
    ):
        field.fill(text)
        expect(page.locator("#error-2024-03-17")).to_have_text(said)
        expect(field).to_have_attribute("aria-invalid", "true")
        assert column(page, "coming", 3) == forecast_by(api, horizon=14)
    field.fill("")
    expect(page.locator("#error-2024-03-17")).to_be_empty()
    page.get_by_label("From", exact=True).select_option("2024-03-20")
    page.get_by_label("To", exact=True).select_option("2024-03-16")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#many-error")).to_have_text(re.compile("2024-03-20 is after 2024-03-16"))
    expect(page.locator("#trouble")).to_be_hidden()


def test_without_a_model_it_says_what_to_do_and_shows_the_forecast_once_there_is_one(
    browser: Browser, home: Home, world: World
) -> None:
    with running(home.settings) as api, opened(browser, f"{api.base_url}{AT}") as page:
        expect(page.locator("#trouble")).to_contain_text("run `scalecast run`")
        expect(page.locator("#work")).to_be_hidden()
        set_up(home.store, world)
        is_drawn(page)  # it tries again by itself
        assert column(page, "coming", 3) == forecast_by(api, horizon=14)
        expect(page.locator("#trouble")).to_be_hidden()


def test_where_keys_are_set_it_asks_for_one_and_keeps_it_no_longer_than_the_tab(
    browser: Browser, home: Home, world: World
) -> None:
    set_up(home.store, world)
    key, line = new_key("shop")
    with (
        running(replace(home.settings, api_keys=line)) as api,
        opened(browser, f"{api.base_url}{AT}") as page,
    ):
        field = page.get_by_label("API key")
        expect(field).to_be_focused()
        expect(page.locator("#work")).to_be_hidden()
        for wrong, said in (("wrong", "must be one that is let in"), ("schlüssel", "only letters")):
            field.fill(wrong)
            page.keyboard.press("Enter")
            expect(page.locator("#key-error")).to_contain_text(said)
        field.fill(key)
        page.keyboard.press("Enter")
        is_drawn(page)
        page.reload()
        is_drawn(page)
        assert page.evaluate("[document.cookie, localStorage.length]") == ["", 0]
        assert key not in page.url + page.content()
        with page.expect_download() as report:
            page.get_by_role("button", name="download it").click()
        assert report.value.suggested_filename == "report-1.0.0.html"
        page.get_by_role("button", name="Forget the key").click()
        expect(field).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0


def test_while_the_store_is_away_it_says_so_and_goes_on_forecasting(
    browser: Browser, home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_versions, "FRESH_SECONDS", 0.0)
    write_bundle(home.store, "0.9.0", linear_graph(), world.encoders)
    set_up(home.store, world)
    assert isinstance(home.store, DirectoryStore)
    root = home.store.root
    with running(home.settings) as api, opened(browser, f"{api.base_url}{AT}") as page:
        is_drawn(page)
        expect(page.locator("#card-body .warn")).to_have_count(0)
        expect(page.locator("#card-body .versions")).to_have_text(re.compile("^0.9.0 .*MAE 2.5"))
        (root / "models").rename(root / "aside")
        (root / "models").symlink_to(root / "aside")  # which the store refuses to read
        page.reload()
        is_drawn(page)
        expect(page.locator("#card-body .warn")).to_contain_text("the store cannot be listed")
        assert len(column(page, "coming", 3)) == 14


@pytest.mark.parametrize("mode", ["split", "shadow"])
def test_the_card_tells_of_a_challenger_and_the_forecast_of_who_answers(
    browser: Browser, home: Home, world: World, mode: Mode
) -> None:
    set_up(home.store, world)
    sha256 = write_bundle(home.store, "1.1.0", linear_graph({}, bias=2.0), world.encoders)
    entry = Challenger("1.1.0", sha256, 0.2, mode)
    assert entry.takes(SERIES["store_id"], SERIES["product_id"])
    champion = read_manifest(home.store, "1.0.0")[1]
    point_at(home.store, "1.0.0", champion, challenger=entry)
    with running(home.settings) as api, opened(browser, f"{api.base_url}{AT}") as page:
        is_drawn(page)
        said = page.locator("#challenger")
        expect(said).to_contain_text("version 1.1.0")
        does = "answers for 20 %" if mode == "split" else "is compared with it on 20 %"
        expect(said).to_contain_text(does)
        answering = "1.1.0" if mode == "split" else "1.0.0"
        expect(page.locator("#source")).to_contain_text(f"model {answering}")
        expect(page.locator("#card-body .version")).to_contain_text("version 1.0.0")
