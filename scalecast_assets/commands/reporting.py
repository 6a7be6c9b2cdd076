"""What ``scalecast status``, ``models``, ``rollback`` and ``settings`` read, do and show."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from rich.markup import escape
from rich.table import Table

from scalecast_assets.commands.challenging import (
    Facts,
    challenger_lines,
    read_live_comparison,
    served_facts,
    told,
)
from scalecast_assets.commands.terminal import console_for, fitted
from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.intervals import DEFAULT_LEVEL
from scalecast_assets.forecasting.budget import DEFAULT_BUDGETS
from scalecast_assets.forecasting.coverage_report import coverage_of, overall
from scalecast_assets.promotion.publishing import list_versions
from scalecast_assets.promotion.switching import rollback
from scalecast_assets.resources.configured import store_of
from scalecast_assets.runtime import Runtime
from scalecast_assets.settings import FITTED, TUNED, Settings, variable
from serving.settings import OWN_VARIABLES

INSIDE: Final = f"in {DEFAULT_LEVEL} % interval"


def read_status(runtime: Runtime) -> Facts:
    """Read files, warehouse, model and state as they stand."""
    from scalecast_assets.commands.watching import read_feed, read_ticks  # dagster takes seconds

    store = store_of(runtime.settings)
    served = served_facts(store)
    with (
        psycopg.connect(runtime.database_url) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        files = cursor.execute(
            "select key, sha256, state, rows, reason, published_at from warehouse.file_ledger "
            "order by file_seq desc limit 20"
        ).fetchall()
        warehouse = cursor.execute(
            "select count(*) as rows, count(distinct store_id) as stores, "
            "min(date) as first_day, max(date) as last_day from warehouse.demand_data"
        ).fetchone()
        backlog = cursor.execute("select count(*) as n from warehouse.changed_ranges").fetchone()
        feed = read_feed(connection, store)
        live = read_live_comparison(connection, served)
    return {
        "home": str(runtime.settings.home),
        "store": runtime.settings.resolved_store_url,
        "files": files,
        "warehouse": warehouse,
        "ranges_to_rebuild": backlog["n"] if backlog else 0,
        "waiting": feed,
        "sensors": read_ticks(),
        **served,
        "live_comparison": live,
    }


def read_models(settings: Settings) -> Facts:
    """Read every complete version with its score, and which one is served."""
    store = store_of(settings)
    served = served_facts(store)
    versions = []
    for version in list_versions(store):
        manifest, _ = read_manifest(store, version)
        row = next((r for r in manifest.leaderboard if r["name"] == manifest.candidate), None)
        versions.append(
            {
                "version": version,
                "candidate": manifest.candidate,
                "holdout_mae": row["mae"] if row else None,
                "coverage": manifest.coverage,
                "fit_cutoff": manifest.fit_cutoff,
                "created_at": manifest.created_at,
                "served": served["model"] is not None and served["model"]["version"] == version,
                "challenges": served["challenger"] is not None
                and served["challenger"]["version"] == version,
            }
        )
    return {"versions": versions, **served}


def roll_back(settings: Settings, version: str) -> Facts:
    """Serve a kept version again, by one compare-and-swap of the pointer."""
    return told(rollback(store_of(settings), version))


def settings_table() -> list[Facts]:
    """List every setting of pipeline and sidecar: name, default, description."""
    budgets = {
        "fit_rows": {name: DEFAULT_BUDGETS[name].fit_rows for name in FITTED},
        "tune_rows": {name: DEFAULT_BUDGETS[name].tune_rows for name in TUNED},
    }
    ours = [
        {
            "name": variable(name),
            "default": _default(budgets.get(name) or field.get_default(call_default_factory=True)),
            "description": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]
    sidecars = [
        {"name": name, "default": default, "description": description}
        for name, (default, description) in OWN_VARIABLES.items()
    ]
    return ours + sidecars


def print_status(facts: Facts) -> None:
    """Print ``read_status`` for a person."""
    from scalecast_assets.commands.watching import feed_lines

    console = console_for()
    rows = facts["warehouse"]
    console.print(f"Home       {facts['home']}\nStore      {facts['store']}", markup=False)
    if rows["rows"]:
        console.print(
            f"Warehouse  {rows['rows']:,} rows, {rows['stores']} stores, "
            f"{rows['first_day']} to {rows['last_day']}"
        )
    else:
        console.print("Warehouse  empty: scalecast run --csv FILE")
    if facts["ranges_to_rebuild"]:
        console.print(f"Features   {facts['ranges_to_rebuild']} changed ranges wait for dbt")
    for line in feed_lines(facts["waiting"], facts["sensors"]):
        console.print(line, markup=False)
    model, state = facts["model"], facts["state"]
    console.print(
        f"Model      {model['version']} (before it {model['previous'] or 'none'})"
        if model
        else "Model      none yet: scalecast run"
    )
    for line in challenger_lines(facts["challenger"], facts["live_comparison"]):
        console.print(line, markup=False)
    console.print(f"State      until {state['data_until']}" if state else "State      none yet")
    table = Table(title="Latest files", title_justify="left")
    for column in ("file", "state", "rows", "reason"):
        table.add_column(column, overflow="fold")
    for file in facts["files"]:
        table.add_row(
            escape(file["key"]),
            file["state"],
            f"{file['rows'] or 0:,}",
            escape((file["reason"] or "")[:100]),
        )
    if facts["files"]:
        console.print(table)


def print_models(facts: Facts) -> None:
    """Print ``read_models`` for a person."""
    console = console_for()
    if not facts["versions"]:
        console.print("No model yet: scalecast run")
        return
    rows = [_model_row(model) for model in facts["versions"]]

    def build(columns: Sequence[str]) -> Table:
        table = Table(*columns)
        for row in rows:
            table.add_row(*(row[column] for column in columns))
        return table

    spare = ("made", INSIDE, "fitted up to", "holdout MAE")
    console.print(fitted(build, tuple(rows[0]), spare, console))


def _model_row(model: Facts) -> dict[str, str]:
    mae = model["holdout_mae"]
    covered = overall(coverage_of(model)).get(DEFAULT_LEVEL)
    return {
        "version": model["version"],
        "candidate": model["candidate"],
        "holdout MAE": "–" if mae is None else f"{mae:.3f}",
        INSIDE: "–" if covered is None else f"{covered.covered:.1%}",
        "fitted up to": model["fit_cutoff"],
        "made": model["created_at"][:16].replace("T", " "),
        "": "served" if model["served"] else "challenger" if model["challenges"] else "",
    }


def _default(value: Any) -> Any:
    if value is None or value == {}:
        return "unset"
    if isinstance(value, dict):
        return ",".join(f"{name}={rows}" for name, rows in value.items())
    return value if isinstance(value, int) else str(value)
