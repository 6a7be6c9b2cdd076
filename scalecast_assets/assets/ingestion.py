"""From the bucket to the warehouse: `raw_files`, `raw_demand`, `demand_data`.

Each asset reads its config, calls ``ingest/`` and reports. The breaker between `raw_demand` and
`demand_data` is ``checks/expectations.py``; who starts a run is ``automation/``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

from scalecast_assets import keys
from scalecast_assets.ingest.intake import READABLE, FileOutcome, Intake, take_in
from scalecast_assets.ingest.landing import LandingError
from scalecast_assets.ingest.publish import Publication, publish
from scalecast_assets.ingest.wording import counted
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource

OWNERS: Final = ["team:demand-forecasting"]
RECONCILED: Final = "every_landed_row_is_accounted_for"
NOT_EMPTY: Final = "warehouse_has_rows"


class RawFormat(dg.ConfigurableResource):  # type: ignore[type-arg]
    """How the user's files differ from ours, and where they are spooled while they are read."""

    renames: dict[str, str] = Field(default_factory=dict)
    """The user's own header to our column, as ``{"Qty": "quantity_sold"}``."""

    spool_dir: str | None = None
    """A local directory with room for one raw file; None: the system's directory for such."""


class RawDemandConfig(dg.Config):
    """Which files to land."""

    keys: list[str] = Field(default_factory=list)
    """Keys such as ``raw/sales.csv``, in the order in which they count; empty: all that wait."""

    replace: bool = False
    """Replace the whole warehouse by the union of these files (without keys: all of ``raw/``)."""

    again: bool = False
    """Load bytes that are known already once more, as the newest data."""

    only: list[str] | None = None
    """Of the files that wait only these, at the places that the bucket gives them; an empty list:
    only what earlier runs landed and did not bring to an end."""


raw_files = dg.AssetSpec(
    keys.RAW_FILES,
    description="The CSV files that users drop into the bucket, under `raw/`: "
    "`*.csv` and `*.csv.gz` with date, store_id, product_id, quantity_sold, price, promotion.",
    group_name=keys.GROUP_INGESTION,
    owners=OWNERS,
    kinds={"s3", "csv"},
)


@dg.asset(
    key=keys.RAW_DEMAND,
    deps=[keys.RAW_FILES],
    group_name=keys.GROUP_INGESTION,
    owners=OWNERS,
    kinds={"python", "postgres"},
    check_specs=[
        dg.AssetCheckSpec(
            READABLE,
            asset=keys.RAW_DEMAND,
            blocking=False,
            description="No file under raw/ is locked away from this user or on a bad disk block;"
            " the others are loaded all the same.",
        )
    ],
)
def raw_demand(
    context: dg.AssetExecutionContext,
    config: RawDemandConfig,
    warehouse: WarehouseResource,
    store: ObjectStoreResource,
    raw_format: RawFormat,
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare class only
    """Every line of the files that wait, archived by sha256 and landed in Postgres unjudged.

    One row per data line in `landing.demand_rows` (a cell that cannot be read is NULL), and one
    row per fault in `landing.rejected_lines`. Known bytes are skipped, whatever their name.
    """
    intake = Intake(
        run_id=context.run.root_run_id or context.run.run_id,
        keys=config.keys,
        again=config.again,
        replace=config.replace,
        renames=raw_format.renames,
        spool_dir=Path(raw_format.spool_dir) if raw_format.spool_dir else None,
        only=config.only,
    )
    with warehouse.connect() as conn:
        try:
            outcomes = take_in(conn, store.store(), intake, context.log.info)
        except LandingError as error:
            raise dg.Failure(str(error)) from error  # so that alerts name the file
    return dg.MaterializeResult(
        metadata=_metadata_of_files(outcomes), check_results=[_readability(outcomes)]
    )


def _readability(outcomes: list[FileOutcome]) -> dg.AssetCheckResult:
    problems = [o.message for o in outcomes if o.outcome == "unreadable"]
    return dg.AssetCheckResult(
        asset_key=keys.RAW_DEMAND,
        check_name=READABLE,
        passed=not problems,
        description="; ".join(problems) or None,
    )


def _metadata_of_files(outcomes: list[FileOutcome]) -> dict[str, Any]:
    landed = [o for o in outcomes if o.outcome in ("landed", "taken over")]
    return {
        "files": len(landed),
        "skipped": sum(o.outcome == "known" for o in outcomes),
        "unreadable": sum(o.outcome == "unreadable" for o in outcomes),
        "dagster/row_count": sum(o.rows for o in landed),
        "faults": sum(o.rejected for o in landed),
        "outcomes": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "file": o.key,
                        "outcome": o.outcome,
                        "state": o.state,
                        "rows": o.rows,
                        "faults": o.rejected,
                        "file_seq": str(o.file_seq),
                        "sha256": o.sha256,
                        "message": "; ".join((o.message, *o.warnings)),
                    }
                )
                for o in outcomes
            ],
            schema=dg.TableSchema(
                [
                    dg.TableColumn("file"),
                    dg.TableColumn("outcome"),
                    dg.TableColumn("state"),
                    dg.TableColumn("rows", "int"),
                    dg.TableColumn("faults", "int"),
                    dg.TableColumn("file_seq"),
                    dg.TableColumn("sha256"),
                    dg.TableColumn("message"),
                ]
            ),
        ),
    }


@dg.asset(
    key=keys.DEMAND_DATA,
    deps=[keys.RAW_DEMAND],
    group_name=keys.GROUP_INGESTION,
    owners=OWNERS,
    kinds={"postgres"},
    check_specs=[
        dg.AssetCheckSpec(
            RECONCILED,
            asset=keys.DEMAND_DATA,
            blocking=True,
            description="Each file's rows in the ledger, in landing, and inserted, updated or older"
            " than what is there are the same number.",
        ),
        dg.AssetCheckSpec(
            NOT_EMPTY,
            asset=keys.DEMAND_DATA,
            blocking=True,
            description="There is anything to compute features from.",
        ),
    ],
)
def demand_data(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare class only
    """One row per (store_id, product_id, date) of validated sales, in `warehouse.demand_data`.

    Publishes every file that the ledger calls validated, in one transaction with the ledger, the
    codes of new ids and the ranges that the features have to be computed again for.
    """
    with warehouse.connect() as conn:
        publication = publish(conn)
    context.log.info(
        f"published {counted(len(publication.files), 'file')};"
        f" {counted(publication.warehouse_rows, 'row')} in all"
    )
    for warning in _in_vain(publication):
        context.log.warning(warning)
    for key in publication.superseded:
        context.log.info(f"{key} is older than the replacement of everything: nothing of it is in")
    return dg.MaterializeResult(
        metadata=_metadata_of_publication(publication),
        check_results=list(_reconciliation(publication)),
    )


def _metadata_of_publication(publication: Publication) -> dict[str, Any]:
    return {
        "dagster/row_count": publication.warehouse_rows,
        "dagster/relation_identifier": "warehouse.demand_data",
        "files": len(publication.files),
        "rows_published": sum(f.inserted + f.updated for f in publication.files),
        "inserted": sum(f.inserted for f in publication.files),
        "updated": sum(f.updated for f in publication.files),
        "older": sum(f.older for f in publication.files),
        "deleted": publication.deleted,
        "changed_stores": publication.changed_stores,
        "replaced": publication.replaced,
        "superseded": len(publication.superseded),
        "in_vain": _in_vain(publication),
    }


def _in_vain(publication: Publication) -> list[str]:
    """A sentence on each file of which no row counts, which is seldom what was meant."""
    return [
        f"{file.key}: later files have all of its {counted(file.older, 'row')}, so none counts;"
        " run with --again to make it the newest"
        for file in publication.files
        if 0 < file.in_ledger == file.older
    ]


def _reconciliation(publication: Publication) -> Iterator[dg.AssetCheckResult]:
    """The counts that ``publish`` checked inside its transaction, for people to see."""
    files = publication.files
    ledger = sum(f.in_ledger for f in files)
    landing = sum(f.in_landing for f in files)
    merged = sum(f.inserted + f.updated + f.older for f in files)
    yield dg.AssetCheckResult(
        check_name=RECONCILED,
        passed=ledger == landing == merged,
        metadata={"in_ledger": ledger, "in_landing": landing, "merged": merged},
    )
    yield dg.AssetCheckResult(
        check_name=NOT_EMPTY,
        passed=publication.warehouse_rows > 0,
        metadata={"rows": publication.warehouse_rows},
        description="The warehouse is empty: put a CSV file under raw/ or name one."
        if not publication.warehouse_rows
        else None,
    )
