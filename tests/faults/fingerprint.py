"""The state of a place as values that an undisturbed run and a recovered one must agree on.

Left out is what may differ for good reasons: ids of runs, times, places in the order (their ranks
are compared), numbers of versions (a killed publisher leaves a gap), and landed rows of files that
are decided (the next intake drops them).
"""

import dataclasses
import hashlib
from typing import Any, Final

from scalecast_assets.contract.bundle import read_pointed_bundle, verify_files
from scalecast_assets.contract.layout import state_key
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.contract.state import panel_from_bytes
from scalecast_assets.contract.store import ObjectStore
from tests.faults.place import Place

_UUID: Final = "[0-9a-f]{8}-[0-9a-f-]{27}"
WHOLE: Final = {
    "ledger": (
        "select dense_rank() over (order by file_seq), key, sha256, bytes, rows, rejected, state,"
        f" regexp_replace(reason, '{_UUID}', 'a run', 'g') from warehouse.file_ledger order by 1"
    ),
    "objects": "select key, sha256 from warehouse.file_objects order by 1, 2",
    "codes": "select kind, id, code from warehouse.id_codes order by 1, 3",
    "waiting ranges": (
        "select store_id, min(from_date)::text from warehouse.changed_ranges group by 1 order by 1"
    ),
    "undecided rows": (
        "select key, count(*) from landing.demand_rows join warehouse.file_ledger using (file_seq)"
        " where state in ('landed', 'validated') group by 1 order by 1"
    ),
    "training sets": "select sha256 from ml.training_sets order by 1",
    "requests": "select cause from ml.retrain_requests order by 1",
}
"""Small tables, compared row by row."""

SUMMED: Final = {
    "warehouse.demand_data": (
        "select date, store_id, product_id, quantity_sold, price, promotion,"
        " dense_rank() over (order by file_seq) from warehouse.demand_data order by 2, 3, 1"
    ),
    "features.demand_calendar": ("select * from features.demand_calendar order by store_id, date"),
    "features.demand_features": (
        "select * from features.demand_features order by store_id, product_id, date"
    ),
    "ml.forecasts": (
        "select origin, dense_rank() over (order by model_version), store_id, product_id, date,"
        " forecast, seasonal_naive, source, store_open, price, promotion from ml.forecasts"
        " order by 1, 2, 3, 4, 5"
    ),
    "ml.forecast_days": (
        "select origin, dense_rank() over (order by model_version), store_id, date, forecast_rows,"
        " forecast_units, scored_rows, actual_units, absolute_error from ml.forecast_days"
        " order by 1, 2, 3, 4"
    ),
}
"""Large tables, compared by count and checksum."""


def fingerprint(place: Place) -> dict[str, Any]:
    """The state of warehouse, features, ledger, bucket and pointers."""
    found: dict[str, Any] = {}
    for name, sql in WHOLE.items():
        table = sql.partition(" from ")[2].split()[0] if name != "ledger" else ""
        found[name] = place.query(sql) if not table or _exists(place, table) else None
    for table, sql in SUMMED.items():
        if _exists(place, table):
            found[table] = place.query(
                f"select count(*), md5(string_agg(one::text, '|' order by nth)) from"
                f" (select one, row_number() over () as nth from ({sql}) one) numbered"
            )
    found["bucket"] = {
        info.key: hashlib.sha256(place.store.get(info.key).body).hexdigest()
        for prefix in ("archive/", "quarantine/", "forecasts/")
        for info in place.store.list(prefix)
        # The page says when it was written.
        if not info.key.endswith("/report.html")
    }
    found["pages"] = [
        info.key for info in place.store.list("quarantine/") if info.key.endswith("/report.html")
    ]
    return found | pointers(place.store)


def pointers(store: ObjectStore) -> dict[str, Any]:
    """What both pointers lead to; fails if one is invalid, or its target not whole."""
    found: dict[str, Any] = {"state": None, "model": None}
    if state := read_state_pointer(store):
        data = store.get(state_key(state.pointer.sha256)).body
        assert hashlib.sha256(data).hexdigest() == state.pointer.sha256
        panel_from_bytes(data)
        found["state"] = dataclasses.asdict(state.pointer)
    if model := read_serving(store):
        bundle = read_pointed_bundle(store, model.pointer)
        verify_files(store, bundle.manifest)
        found["model"] = {
            "candidate": bundle.manifest.candidate,
            "training set": bundle.manifest.training_set,
            "cutoff": bundle.manifest.fit_cutoff,
            "graph": bundle.manifest.files["model.onnx"].sha256,
            "raw files": [file.sha256 for file in bundle.manifest.raw_files],
            "leaderboard": [
                {name: value for name, value in row.items() if name != "fit_seconds"}
                for row in bundle.manifest.leaderboard
            ],
        }
    return found


def _exists(place: Place, table: str) -> bool:
    return bool(place.query("select to_regclass(%(table)s) is not null", {"table": table})[0][0])
