"""The ingestion as a graph: the breaker refuses a file whole, by name and line."""

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from scalecast_assets.assets.ingestion import RawFormat, demand_data, raw_demand, raw_files
from scalecast_assets.checks import rule_suite
from scalecast_assets.checks.expectations import raw_demand_suite
from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.contract.objects import ObjectUnreadable
from scalecast_assets.ingest.rules import RULES
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.factories_files import GOOD, HEADER, Pipeline, csv_of

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")


class Graph:
    """The three assets and the breaker on a fresh database and directory."""

    def __init__(self, url: str, folder: Path) -> None:
        self.pipeline = Pipeline(url, folder)
        self._resources = {
            "warehouse": WarehouseResource(url=url),
            "store": ObjectStoreResource(url=(folder / "store").as_uri()),
            "raw_format": RawFormat(),
        }

    def run(self, *only: str, **config: Any) -> dg.ExecuteInProcessResult:
        """Materialize everything, or these assets alone, with their checks."""
        lands = not only or "raw_demand" in only
        return dg.materialize(
            [raw_files, raw_demand, raw_demand_suite, demand_data],
            resources=self._resources,
            run_config={"ops": {"raw_demand": {"config": config}}} if lands else {},
            selection=dg.AssetSelection.assets(*only) if only else None,
            raise_on_error=False,
        )


@pytest.fixture
def graph(database_url: str, tmp_path: Path) -> Iterator[Graph]:
    graph = Graph(database_url, tmp_path)
    yield graph
    graph.pipeline.conn.close()


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    return {e.check_name for e in result.get_asset_check_evaluations() if not e.passed}


def published(result: dg.ExecuteInProcessResult) -> bool:
    return "demand_data" in {
        key.to_user_string()
        for event in result.get_asset_materialization_events()
        if (key := event.asset_key)
    }


def test_a_valid_file_passes_every_check_and_is_published(graph: Graph) -> None:
    graph.pipeline.put("raw/good.csv", GOOD, GOOD.replace("S1", "0012"))
    result = graph.run()
    evaluations = result.get_asset_check_evaluations()
    assert {e.check_name for e in evaluations} > {rule.name for rule in RULES}
    assert failed_checks(result) == set()
    assert result.success
    assert [row[1] for row in graph.pipeline.rows()] == ["0012", "S1"]


def test_a_run_without_a_file_passes_and_clears_no_refusal(graph: Graph) -> None:
    graph.pipeline.put("raw/good.csv", GOOD)
    graph.run()
    graph.pipeline.put("raw/bad.csv", GOOD.replace("9.99", "0"))
    assert not graph.run().success
    again = graph.run()
    assert again.success
    evaluations = again.get_asset_check_evaluations()
    assert {e.metadata["files"].value for e in evaluations if "files" in e.metadata} == {0}
    assert graph.pipeline.states() == {"raw/good.csv": "published", "raw/bad.csv": "refused"}


FAR = "2999-01-01"
BAD_FILES = [
    (
        csv_of("2024-01-01,S1,P1,5,true", header=HEADER.replace(",price", "")),
        "columns_are_complete",
        1,
        "missing",
    ),
    (csv_of(GOOD, header=HEADER + ",date"), "columns_are_complete", 1, "2 times"),
    (csv_of(GOOD, "2024-01-02,S1,,5,9.99,1"), "product_id_is_present", 3, "missing"),
    (csv_of(GOOD, "2024-01-02,,P1,5,9.99,1"), "store_id_is_present", 3, "missing"),
    (csv_of(GOOD, "2024-01-02,S1,P1,,9.99,1"), "quantity_is_a_number", 3, "missing"),
    (csv_of(GOOD, "2024-01-02,S1,P1,x,9.99,1"), "quantity_is_a_number", 3, "not a number"),
    (csv_of(GOOD, "2024-01-02,S1,P1,NaN,9.99,1"), "quantity_is_a_number", 3, "not a number"),
    (csv_of(GOOD, "2024-01-02,S1,P1,1,inf,1"), "price_is_a_number", 3, "not a number"),
    (csv_of(GOOD, "2024-01-02,S1,P1,-1,9.99,1"), "quantity_is_not_negative", 3, "not between"),
    (csv_of(GOOD, "2024-01-02,S1,P1,1e12,9.99,1"), "quantity_is_not_negative", 3, "not between"),
    (csv_of(GOOD, "2024-01-02,S1,P1,1,0,1"), "price_is_positive", 3, "not above zero"),
    (csv_of(GOOD, "2024-01-02,S1,P1,1,-2,1"), "price_is_positive", 3, "not above zero"),
    (csv_of(GOOD, "2024-01-02,S1,P1,1,1e39,1"), "price_is_positive", 3, "at most 1,000,000,000"),
    (csv_of(GOOD, "2023-02-30,S1,P1,1,2,1"), "date_is_a_day", 3, "does not exist"),
    (csv_of(GOOD, "01/02/2024,S1,P1,1,2,1"), "date_is_a_day", 3, "yyyy-mm-dd"),
    (csv_of(GOOD, f"{FAR},S1,P1,1,2,1"), "date_is_plausible", 3, "after tomorrow"),
    (csv_of(GOOD, "1969-12-31,S1,P1,1,2,1"), "date_is_plausible", 3, "before 1970"),
    (csv_of(GOOD, "2024-01-02,S1,P1,1,2,?"), "promotion_is_true_or_false", 3, "not one of"),
    (csv_of("2024-01-02,S1,P1,1,2,1", GOOD, GOOD), "key_is_unique", 4, "first on line 3"),
    (csv_of(GOOD, "2024-01-02,S1,P1,1,2"), "lines_are_well_formed", 3, "found 5"),
    (csv_of(GOOD, '2024-01-02,"S1,P1,1,2,1'), "lines_are_well_formed", 3, "never closed"),
    (csv_of(GOOD) + b"2024-01-02,\xe9,P1,1,2,1\n", "lines_are_well_formed", 3, "0xe9"),
    (b"", "file_has_rows", 1, "empty"),
    (csv_of(), "file_has_rows", 2, "no rows"),
    (b"PK\x03\x04zip", "lines_are_well_formed", 1, "ZIP"),
    (b"x" * 10_000_000, "lines_are_well_formed", 1, "longer than"),
]


def test_each_bad_file_is_refused_whole_with_line_and_reason_and_the_warehouse_untouched(
    graph: Graph,
) -> None:
    """All of them wait at once, beside a good one, which a second run then publishes."""
    pipeline = graph.pipeline
    pipeline.put("raw/first.csv", "2023-12-01,S1,P1,5,9.99,true")
    assert graph.run().success
    before = pipeline.checksum()
    pipeline.clear_ranges()
    for number, (data, *_) in enumerate(BAD_FILES):
        pipeline.store.put(f"raw/bad{number}.csv", data)
    pipeline.put("raw/good.csv", "2024-02-01,S1,P1,5,9.99,true")

    result = graph.run()

    assert not result.success
    assert not published(result)
    assert failed_checks(result) == {rule for _, rule, _, _ in BAD_FILES}
    assert (pipeline.checksum(), pipeline.ranges()) == (before, {})
    states = pipeline.states()
    assert states.pop("raw/first.csv") == "published"
    assert states.pop("raw/good.csv") == "landed"
    assert set(states.values()) == {"refused"}
    assert len(states) == len(BAD_FILES)
    for number, (data, rule, line, reason) in enumerate(BAD_FILES):
        (report,) = [
            info.key
            for info in pipeline.store.list(f"quarantine/bad{number}.csv-")
            if info.key.endswith("report.csv")
        ]
        text = pipeline.store.get(report).body.decode()
        lines = [row for row in text.splitlines()[1:] if row.startswith(f"{line},")]
        assert any(f",{rule}," in row and reason in row for row in lines), (number, text)
        copy = report.rsplit("/", 1)[0] + f"/bad{number}.csv"
        assert pipeline.store.get(copy).body == data

    assert graph.run().success
    assert pipeline.states()["raw/good.csv"] == "published"
    assert len(pipeline.rows()) == 2


def test_the_report_names_every_bad_line_and_not_only_a_sample(graph: Graph) -> None:
    lines = [f"2024-01-01,S{n},P1,{'x' if n % 2 else 1},1,0" for n in range(3000)]
    graph.pipeline.put("raw/bad.csv", *lines)
    assert not graph.run().success
    (report,) = [
        i.key for i in graph.pipeline.store.list("quarantine/") if i.key.endswith("report.csv")
    ]
    named = graph.pipeline.store.get(report).body.decode().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in named] == [n + 2 for n in range(3000) if n % 2]


def test_both_lines_of_a_duplicate_key_are_named(graph: Graph) -> None:
    graph.pipeline.put("raw/bad.csv", GOOD, GOOD.replace("S1", "S2"), GOOD)
    (check,) = [
        e for e in graph.run().get_asset_check_evaluations() if e.check_name == "key_is_unique"
    ]
    table = check.metadata["first_bad_lines"]
    assert isinstance(table, dg.TableMetadataValue)
    records = table.records
    assert [record.data["line"] for record in records] == [2, 4]


def test_a_file_of_which_no_row_counts_is_told(graph: Graph) -> None:
    graph.pipeline.put("raw/new.csv", GOOD)
    assert graph.run().success
    graph.pipeline.put("raw/late.csv", GOOD.replace("9.99", "8.99"), modified=1_700_000_000)
    result = graph.run()
    assert result.success
    (made,) = result.asset_materializations_for_node("demand_data")
    told = str(made.metadata["in_vain"].value)
    assert "raw/late.csv: later files have all of its 1 row, so none counts" in told


def test_the_same_key_in_two_files_is_no_duplicate(graph: Graph) -> None:
    graph.pipeline.put("raw/a.csv", GOOD)
    graph.pipeline.put("raw/b.csv", GOOD.replace("9.99", "8.99"))
    assert graph.run().success
    assert len(graph.pipeline.rows()) == 1


def test_a_quantity_far_outside_its_past_warns_and_is_published(graph: Graph) -> None:
    days = [f"2024-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29)]
    usual = [f"{day},S1,P1,{10 + n % 7},9.99,0" for n, day in enumerate(days)]
    graph.pipeline.put("raw/a.csv", *usual)
    assert failed_checks(graph.run()) == set()
    graph.pipeline.put("raw/b.csv", "2024-03-01,S1,P1,20,9.99,0", "2024-03-02,S1,P1,9999,9.99,0")
    result = graph.run()
    assert failed_checks(result) == {"quantity_is_plausible"}
    assert result.success
    assert graph.pipeline.rows()[-1][3] == 9999


def test_quantities_that_overflow_an_exponential_are_refused_and_hold_up_nobody(
    graph: Graph,
) -> None:
    days = [f"2024-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29)]
    lines = [f"{day},S1,P1,{'1e308' if n % 2 else '0'},9.5,0" for n, day in enumerate(days)]
    graph.pipeline.put("raw/bad.csv", *lines)
    graph.pipeline.put("raw/good.csv", GOOD)
    assert failed_checks(graph.run()) == {"quantity_is_not_negative"}
    assert graph.run().success
    assert graph.pipeline.states() == {"raw/bad.csv": "refused", "raw/good.csv": "published"}


def test_a_rule_that_only_warns_and_cannot_be_judged_is_a_warning_and_no_more(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    raises = "select * from {rows} where 1 / (line_no - line_no) > 0"
    broken = tuple(r if r.blocking else replace(r, lines=raises) for r in RULES)
    monkeypatch.setattr(rule_suite, "RULES", broken)
    graph.pipeline.put("raw/a.csv", GOOD)
    result = graph.run()
    assert result.success
    (check,) = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert check.check_name == "quantity_is_plausible"
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert "could not be judged" in str(check.description)
    assert "division by zero" in str(check.description)
    assert graph.pipeline.states() == {"raw/a.csv": "published"}


def test_a_first_sale_far_above_what_its_store_sells_warns(graph: Graph) -> None:
    """Of a product without a past: against the store's other lines, or against its past."""
    usual = [f"2024-01-01,S1,P{n},{15 + n % 11},9.5,0" for n in range(40)]
    graph.pipeline.put("raw/a.csv", *usual, "2024-01-01,S1,NEW,80995,9.5,0")
    (check,) = [e for e in graph.run().get_asset_check_evaluations() if not e.passed]
    assert check.check_name == "quantity_is_plausible"
    assert "raw/a.csv (1 line)" in str(check.description)
    table = check.metadata["first_bad_lines"]
    assert isinstance(table, dg.TableMetadataValue)
    assert "what its store sells" in str(table.records[0].data["reason"])
    graph.pipeline.put("raw/b.csv", "2024-01-02,S1,NEWER,80995,9.5,0")
    assert failed_checks(graph.run()) == {"quantity_is_plausible"}
    graph.pipeline.put("raw/c.csv", "2024-01-03,S1,NEWEST,30,9.5,0")
    assert failed_checks(graph.run()) == set()


def test_a_file_that_cannot_be_read_does_not_hold_up_the_others_and_is_seen(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.pipeline.put("raw/a.csv", GOOD)
    graph.pipeline.put("raw/locked.csv", GOOD.replace("S1", "S2"))
    open_ = DirectoryStore.open

    def locked(store: DirectoryStore, key: str) -> Any:
        if key == "raw/locked.csv":
            raise ObjectUnreadable("object 'raw/locked.csv' cannot be read: Permission denied")
        return open_(store, key)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "open", locked)
        assert failed_checks(graph.run()) == {"every_waiting_file_can_be_read"}
        assert graph.pipeline.states() == {"raw/a.csv": "published"}
        assert not graph.run().success, "with nothing else to do, the run fails for it"
        graph.pipeline.put("raw/b.csv", GOOD.replace("S1", "S3"))
        named = ["raw/locked.csv", "raw/b.csv"]
        assert not graph.run(keys=named, replace=True).success
        assert len(graph.pipeline.rows()) == 1, "half of what was named replaces nothing"
    assert graph.run().success
    assert set(graph.pipeline.states().values()) == {"published"}
    assert [row[1] for row in graph.pipeline.rows()] == ["S1", "S2", "S3"]


def test_a_replacement_with_a_bad_file_replaces_nothing(graph: Graph) -> None:
    graph.pipeline.put("raw/a.csv", GOOD)
    assert graph.run().success
    before = graph.pipeline.rows()
    graph.pipeline.put("raw/b.csv", GOOD.replace("S1", "S2"))
    graph.pipeline.put("raw/c.csv", "nonsense")
    assert not graph.run(keys=["raw/b.csv", "raw/c.csv"], replace=True).success
    assert graph.pipeline.rows() == before
    assert graph.run().success
    assert [row[1] for row in graph.pipeline.rows()] == ["S1", "S2"]
    graph.run(keys=["raw/b.csv"], replace=True)
    assert [row[1] for row in graph.pipeline.rows()] == ["S2"]


def test_of_two_interleaved_runs_the_one_without_a_bad_file_publishes(graph: Graph) -> None:
    graph.pipeline.put("raw/a.csv", GOOD)
    assert graph.run("raw_demand").success
    assert graph.pipeline.states() == {"raw/a.csv": "validated"}
    graph.pipeline.put("raw/b.csv", "nonsense")
    assert not graph.run().success
    assert graph.run("demand_data").success
    assert graph.pipeline.states() == {"raw/a.csv": "published", "raw/b.csv": "refused"}
    assert len(graph.pipeline.rows()) == 1


def test_a_refused_file_with_a_very_long_name_is_quarantined_under_a_short_one(
    graph: Graph,
) -> None:
    for name in ("ü" * 121 + ".CSV", "long " * 48 + "csv.CSV.gz", "report.csv"):
        data = csv_of("nonsense", name)
        graph.pipeline.store.put(
            f"raw/{name}", gzip.compress(data) if name.endswith(".gz") else data
        )
    graph.pipeline.put("raw/good.csv", GOOD)
    assert not graph.run().success
    assert graph.run().success
    states = graph.pipeline.states()
    assert states.pop("raw/good.csv") == "published"
    assert set(states.values()) == {"refused"}
    reports, copies = [], {}
    for info in graph.pipeline.store.list("quarantine/"):
        _, folder, name = info.key.split("/")
        if name in ("report.csv", "report.html"):
            reports.append(folder)
        else:
            copies[folder] = name
    assert sorted(reports) == sorted([*copies, *copies])
    kept = {folder[:-9]: name.replace(folder[-9:], "") for folder, name in copies.items()}
    assert kept == {
        "ü" * 50: "ü" * 50 + ".CSV",
        "long " * 20: "long " * 20 + ".CSV.gz",
        "report.csv": "refused-report.csv",
    }


def test_a_file_that_cannot_be_quarantined_is_refused_all_the_same_and_says_so(
    graph: Graph,
) -> None:
    graph.pipeline.put("raw/bad.csv", "nonsense")
    graph.pipeline.put("raw/good.csv", GOOD)
    (graph.pipeline.store.root / "quarantine").write_text("a file where a folder should be")
    result = graph.run()
    assert not result.success
    assert graph.pipeline.states() == {"raw/bad.csv": "refused", "raw/good.csv": "landed"}
    assert "quarantine/ could not be written" in str(graph.pipeline.reasons()["raw/bad.csv"])
    (check,) = [
        e for e in result.get_asset_check_evaluations() if e.check_name == "lines_are_well_formed"
    ]
    assert "could not be written" in str(check.metadata["quarantine_problems"].value)
    assert graph.run().success


def test_every_refused_file_is_told_its_own_first_bad_line(graph: Graph) -> None:
    """Also when a file before it fills the sample, and when two have one key."""
    graph.pipeline.put("raw/a.csv", *[f"2024-01-01,S{n},P1,1,0,0" for n in range(30)])
    graph.pipeline.land()
    graph.pipeline.put("raw/a.csv", GOOD, "2024-01-02,S1,P1,5,-7,true")
    assert not graph.run().success
    reasons = graph.pipeline.conn.execute(
        "select reason from warehouse.file_ledger order by file_seq"
    ).fetchall()
    assert [reason.split(", first ")[1] for (reason,) in reasons] == [
        "line 2, price '0': not above zero and at most 1,000,000,000",
        "line 3, price '-7': not above zero and at most 1,000,000,000",
    ]
    assert len(list(graph.pipeline.store.list("quarantine/"))) == 6
