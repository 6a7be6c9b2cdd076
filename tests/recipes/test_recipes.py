"""Public data sets, as they are downloaded, become the rows that one would write by hand."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scalecast_assets.cli import cli
from tests.recipes import downloads
from tests.recipes.downloads import write_files, zipped

MAKERS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "m5": ("m5", downloads.write_m5, downloads.M5_ROWS),
    "rossmann": (
        "rossmann",
        lambda folder: write_files(folder, {"train.csv": downloads.ROSSMANN, "store.csv": "Store"}),
        downloads.ROSSMANN_ROWS,
    ),
    "favorita": (
        "favorita",
        lambda folder: write_files(folder, {"train.csv": downloads.FAVORITA}),
        downloads.FAVORITA_ROWS,
    ),
    "store sales": (
        "favorita",
        lambda folder: write_files(folder, {"train.csv": downloads.STORE_SALES}),
        downloads.STORE_SALES_ROWS,
    ),
    "workbook": ("online-retail", downloads.write_workbook, downloads.RETAIL_ROWS),
    "retail csv": ("online-retail", downloads.write_retail_csv, downloads.RETAIL_ROWS),
}


def convert(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["convert", *map(str, arguments)])


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", MAKERS)
def test_what_was_downloaded_becomes_these_rows(name: str, packed: bool, tmp_path: Path) -> None:
    recipe, make, expected = MAKERS[name]
    source = make(tmp_path / "a download")
    if packed:
        folder, source = source, zipped(source)
        shutil.rmtree(folder)
    answer = convert(recipe, source, "-o", tmp_path / "out.csv")
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "out.csv").read_text() == expected
    rows = expected.count("\n") - 1
    assert f"out.csv: {rows} rows" in answer.output


def test_the_file_alone_will_do_and_earlier_days_can_be_left_out(tmp_path: Path) -> None:
    source = write_files(tmp_path / "d", {"train.csv": downloads.FAVORITA}) / "train.csv"
    target = tmp_path / "out.csv.gz"
    answer = convert("favorita", source, "-o", target, "--since", "2016-01-01", "--json")
    assert answer.exit_code == 0, answer.output
    header, *rows = downloads.FAVORITA_ROWS.splitlines()
    assert gzip.decompress(target.read_bytes()).decode().splitlines() == [header, *rows[-2:]]
    workbook = downloads.write_workbook(tmp_path / "w") / "Online Retail.xlsx"
    assert convert("online-retail", workbook, "-o", tmp_path / "retail.csv").exit_code == 0
    assert (tmp_path / "retail.csv").read_text() == downloads.RETAIL_ROWS


def test_nothing_is_overwritten_and_a_broken_off_file_is_not_left(tmp_path: Path) -> None:
    source = write_files(tmp_path / "d", {"train.csv": downloads.ROSSMANN})
    target = tmp_path / "out.csv"
    target.write_text("mine")
    assert "--force replaces it" in convert("rossmann", source, "-o", target).output
    (source / "train.csv").write_text(downloads.ROSSMANN + "1,5,2015-07-31,many,1,1,1,0,1\n")
    broken = convert("rossmann", source, "-o", target, "--force")
    assert broken.exit_code == 1
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "out.csv"]


@pytest.mark.parametrize(
    ("recipe", "files", "said"),
    [
        ("m5", {"calendar.csv": downloads.M5_CALENDAR}, "expected sell_prices.csv in it"),
        ("rossmann", {"train.csv": downloads.FAVORITA}, "train.csv has no column Store"),
        ("favorita", {"train.csv.7z": ""}, "expected train.csv in it; unpack train.csv.7z"),
        ("online-retail", {"data.csv": "a,b\n"}, "no column InvoiceNo; expected InvoiceNo"),
        ("favorita", {"train.csv": downloads.FAVORITA.splitlines()[0]}, "no rows"),
    ],
)
def test_other_files_are_named(
    recipe: str, files: dict[str, str], said: str, tmp_path: Path
) -> None:
    source = write_files(tmp_path / "d", files)
    answer = convert(recipe, source, "-o", tmp_path / "out.csv")
    assert answer.exit_code == 1
    assert said in answer.output
    assert not (tmp_path / "out.csv").exists()


def test_a_promotion_of_m5_is_a_price_well_below_what_was_usual(tmp_path: Path) -> None:
    weeks = [1.0] * 12 + [0.96, 0.94] + [0.9] * 10
    days = [f"2011-{1 + n // 28:02d}-{1 + n % 28:02d}" for n in range(len(weeks))]
    calendar = "date,wm_yr_wk,d\n" + "".join(f"{day},{n},d_{n + 1}\n" for n, day in enumerate(days))
    prices = "store_id,item_id,wm_yr_wk,sell_price\n" + "".join(
        f"S,I,{n},{price}\n" for n, price in reversed(list(enumerate(weeks)))
    )
    columns = ",".join(f"d_{n + 1}" for n in range(len(weeks)))
    sales = f"id,item_id,dept_id,cat_id,store_id,state_id,{columns}\nx,I,D,C,S,T"
    files = {"calendar.csv": calendar, "sell_prices.csv": prices}
    files["sales_train_validation.csv"] = sales + ",1" * len(weeks) + "\n"
    source = write_files(tmp_path / "d", files)
    assert convert("m5", source, "-o", tmp_path / "out.csv").exit_code == 0
    lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
    promoted = [line.endswith("true") for line in lines]
    # From the 18th week on most of the last 13 have the new price: it is the usual one.
    assert promoted == [False] * 13 + [True] * 6 + [False] * 5
