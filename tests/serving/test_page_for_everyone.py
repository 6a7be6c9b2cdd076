"""The page at / for every reader: names, contrast, small screens, hostile ids, copies of it."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.interval_tables import plain_table
from tests.serving.chromium import chromium, opened
from tests.serving.conftest import Home, running
from tests.serving.makers import World, linear_graph, point_at, set_up, write_bundle, write_state
from tests.serving.test_page import AT, SERIES, asked, becomes, is_drawn

CHECKS = [
    "withoutName",
    "references",
    "sameIds",
    "headings",
    "tables",
    "small",
    "paleText",
    "paleLines",
]

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "\"><script>alert('x')</script>",
    'O\'Brien & "Söhne" \\ {{7*7}} %0a ../..?a=b#c',
    "\u202eמוצר\u202c 12",
    "ä" * 250,
    "javascript:alert(1)",
]
STORE = '</title><svg onload=alert(2)>"'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the module."""
    with chromium() as started:
        yield started


def faults(page: Page) -> dict[str, Any]:
    found = {name: page.evaluate(f"window.checks.{name}()") for name in CHECKS}
    return {name: wrong for name, wrong in found.items() if wrong}


def is_as_wide_as_its_window(page: Page) -> bool:
    root = page.locator("html")
    return bool(root.evaluate("(html) => html.scrollWidth <= html.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_enough_contrast(
    browser: Browser, api: httpx.Client, scheme: Any
) -> None:
    address = f"{api.base_url}/?store=STORE_001&product=PROD_A&plan=2024-03-18_5_1"
    with opened(browser, address, color_scheme=scheme) as page:
        is_drawn(page, "PROD_A in STORE_001")
        page.locator("#past summary").click()
        page.get_by_label("Price on 2024-03-19").fill("none")
        expect(page.locator("#error-2024-03-19")).to_be_visible()
        page.get_by_role("combobox", name="Product").click()
        expect(page.locator("#product-list li")).to_have_count(3)

        assert faults(page) == {}
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground < "rgb(2") == (scheme == "dark")


def test_the_checks_see_what_is_wrong(browser: Browser, api: httpx.Client) -> None:
    with opened(browser, f"{api.base_url}{AT}") as page:
        is_drawn(page)
        page.evaluate(
            """() => {
              document.querySelector("label[for=days]").remove();
              const four = Object.assign(document.createElement("h4"), { textContent: "4" });
              document.querySelector("#title").replaceWith(four);
              document.querySelector("#coming th").removeAttribute("scope");
              document.querySelector("#slider label").htmlFor = "nothing";
              document.querySelector("#total").id = "day";
              document.querySelector("#undo").disabled = false;
              document.querySelector("#undo").style.color = "#999";
              document.querySelector("#undo").style.height = "8px";
              document.querySelector("#undo").style.minHeight = "0";
              document.querySelector("path.naive").style.stroke = "#ddd";
            }"""
        )
        assert list(faults(page)) == CHECKS


def test_hostile_ids_are_shown_as_they_are_and_do_nothing_on_a_small_screen(
    browser: Browser, home: Home, world: World
) -> None:
    sold = world.sales["STORE_002", "PROD_A"]
    open_days = {STORE: world.open_days["STORE_002"], **world.open_days}
    sales = {**world.sales, **{(STORE, product): sold for product in HOSTILE}}
    set_up(home.store, World(open_days, sales, encoders=world.encoders))
    small = {"width": 360, "height": 740}
    with running(home.settings) as api:
        address = str(api.base_url.copy_with(params={"store": STORE}))
        with opened(browser, address, viewport=small) as page:
            field = page.get_by_role("combobox", name="Product")
            for product in HOSTILE:
                field.fill(product)
                expect(page.locator("#product-list li bdi")).to_have_text([product])
                page.keyboard.press("Enter")
                expect(page.locator("#title")).to_have_text(f"{product} in {STORE}")
                expect(page).to_have_title(f"{product} in {STORE} · ScaleCast")
                expect(page.locator("#source")).to_contain_text("From model 1.0.0")
                assert is_as_wide_as_its_window(page)
            assert page.locator("img").count() == 1
            assert page.locator("script").count() == 1
            page.go_back()
            expect(page.locator("#title")).to_have_text(f"{HOSTILE[-2]} in {STORE}")


def test_on_a_small_screen_nothing_sticks_out(browser: Browser, api: httpx.Client) -> None:
    small = {"width": 360, "height": 740}
    with opened(browser, f"{api.base_url}{AT}&days=56", viewport=small) as page:
        is_drawn(page)
        assert is_as_wide_as_its_window(page)
        assert page.locator("#coming tbody tr").count() == 56
        for width in (320, 900, 360):
            page.set_viewport_size({"width": width, "height": 740})
            assert is_as_wide_as_its_window(page)
        assert faults(page) == {}


def test_the_numbers_can_be_taken_along_as_csv(browser: Browser, api: httpx.Client) -> None:
    with opened(browser, f"{api.base_url}/?store=%3D1%2B1&product=a%22b,c") as page:
        is_drawn(page, 'a"b,c in =1+1')
        page.goto(f"{api.base_url}{AT}")
        is_drawn(page)
        with page.expect_download() as plain:
            page.get_by_role("button", name="Download CSV").click()
        rows = list(csv.DictReader(io.StringIO(Path(plain.value.path()).read_text())))
        coming = [row for row in rows if row["kind"] == "forecast"]
        page.goto(f"{api.base_url}/?store=%3D1%2B1&product=a%22b,c")
        is_drawn(page, 'a"b,c in =1+1')
        with page.expect_download() as odd:
            page.get_by_role("button", name="Download CSV").click()
        first = next(csv.DictReader(io.StringIO(Path(odd.value.path()).read_text())))

    assert [float(row["units"]) for row in coming] == [day["prediction"] for day in asked(api)]
    assert {(row["store_id"], row["product_id"]) for row in rows} == {tuple(SERIES.values())}
    assert len(rows) == 56 + 14
    # Text that a spreadsheet would take for a formula is marked as text.
    assert (first["store_id"], first["product_id"]) == ("'=1+1", 'a"b,c')


def test_the_interval_is_that_of_the_answer_at_the_level_asked_for(
    browser: Browser, home: Home, world: World
) -> None:
    table = plain_table().to_bytes()
    sha256 = write_bundle(home.store, "1.0.0", linear_graph(), world.encoders, intervals=table)
    point_at(home.store, "1.0.0", sha256)
    write_state(home.store, world.panel())
    with running(home.settings) as api:
        bounds = {
            level: [(day["lower"], day["upper"]) for day in asked(api, horizon=14, level=level)]
            for level in (50, 95)
        }
        with opened(browser, f"{api.base_url}{AT}&level=95") as page:
            is_drawn(page)
            expect(page.locator("#interval-head")).to_have_text("95 % interval")
            shown = page.locator("#coming tbody td:nth-of-type(4)")
            assert [read(text) for text in shown.all_inner_texts()] == [
                pytest.approx(pair, rel=0.006, abs=0.0051) for pair in bounds[95]
            ]
            expect(page.locator("#legend")).to_contain_text("95 % of days")
            wide = page.locator("#plot polygon.band").bounding_box()
            page.get_by_label("Interval").select_option("50")
            expect(page.locator("#interval-head")).to_have_text("50 % interval")
            assert [read(text) for text in shown.all_inner_texts()] == [
                pytest.approx(pair, rel=0.006, abs=0.0051) for pair in bounds[50]
            ]
            narrow = page.locator("#plot polygon.band").bounding_box()
            assert wide is not None
            assert narrow is not None
            assert narrow["height"] < wide["height"]
            assert "level=50" in page.url


def test_whoever_types_while_the_page_loads_is_not_disturbed(
    browser: Browser, api: httpx.Client
) -> None:
    held: list[Route] = []
    with opened(browser, f"{api.base_url}/health") as page:
        page.route("**/stores?*", lambda route: held.append(route))
        page.goto(str(api.base_url))
        field = page.get_by_role("combobox", name="Product")
        field.fill("prod_b")
        becomes(page, lambda: bool(held))
        held[0].continue_()
        is_drawn(page, "PROD_A in STORE_001")
        expect(field).to_have_value("prod_b")
        page.keyboard.press("Enter")
        is_drawn(page, "PROD_B in STORE_001")
        assert field.input_value() == "PROD_B"


def test_enter_right_after_the_last_letter_counts_however_slow_the_list_is(
    browser: Browser, api: httpx.Client
) -> None:
    with opened(browser, str(api.base_url)) as page:
        is_drawn(page, "PROD_A in STORE_001")
        held: list[Route] = []
        page.route("**/series?*", lambda route: held.append(route), times=1)
        field = page.get_by_role("combobox", name="Product")
        field.fill("prod_b")
        page.keyboard.press("Enter")
        becomes(page, lambda: bool(held))
        page.wait_for_timeout(300)  # longer than the page waits for the next letter
        held[0].continue_()
        is_drawn(page, "PROD_B in STORE_001")
        assert field.input_value() == "PROD_B"


def read(text: str) -> tuple[float, ...]:
    """The bounds of ``13.0 to 22.5``."""
    return tuple(float(part) for part in text.split(" to "))
