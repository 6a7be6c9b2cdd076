"""Record the schema of this code, with a row in each table, as a release to upgrade from.

``python -m tests.migrations.record`` writes ``released_<number>.sql`` beside this file. Run it once
when a schema is released; what is recorded is never written anew.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import LiteralString

import psycopg

from scalecast_assets.ingest.schema import ensure_schema
from scalecast_assets.migrations.upgrade import HEAD
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres
from scalecast_assets.resources.postgres_account import installed_binaries

FOLDER = Path(__file__).parent
SHA = "ab" * 32
ROWS: LiteralString = f"""
insert into warehouse.file_ledger
    (file_seq, sha256, key, bytes, rows, rejected, state, run_id, landed_at, published_at)
values (1, '{SHA}', 'raw/a.csv', 80, 1, 0, 'published', 'run 1', '2024-01-02', '2024-01-02');
insert into warehouse.file_objects (key, version, last_modified, size, sha256, seen_at)
values ('raw/a.csv', 'v1', '2024-01-02', 80, '{SHA}', '2024-01-02');
insert into warehouse.file_attempts (key, version, first_at, tried_at, run_id)
values ('raw/b.csv', 'v1', '2024-01-02', '2024-01-02', 'run 1');
insert into warehouse.demand_data values ('2024-01-01', '0012', 'Ä%', 3.5, 1.25, true, 1);
insert into warehouse.id_codes values ('store', '0012', 1), ('product', 'Ä%', 1);
insert into warehouse.changed_ranges (store_id, from_date, file_seq, created_at)
values ('0012', '2024-01-01', 1, '2024-01-02');
insert into warehouse.replacements (file_seq, run_id, published_at, contents)
values (1, 'run 1', '2024-01-02', '{{{SHA}}}');
insert into landing.rejected_lines values (2, 3, 'price', '-1', 'price_is_positive', 'below 0');
insert into ml.training_sets values
    ('{SHA}', 'contract', 1, 1, 1, '2024-01-01', '2024-01-01', 'run 1', '2024-01-02');
insert into ml.promotions
    (run_id, outcome, candidate, version, training_set_sha256, why, leaderboard)
values ('run 1', 'promoted', 'xgboost', '1.0.0', '{SHA}', 'best', '[{{"mae": 1.5}}]');
insert into ml.forecasts values (
    '2024-01-01', '1.0.0', '0012', 'Ä%', '2024-01-02', 1, 3.0, 2.0, 'model', true, 1.25, false,
    '2024-01-01', 2.0, 4.0
);
insert into ml.retrain_requests (cause, model_version, reason, evidence, run_id)
values ('drift', '1.0.0', 'prices', '{{"price": 0.7}}', 'run 1');
insert into ml.alerts
    (cause, kind, subject, headline, what, to_do, files, since, raised_at)
values ('c', 'feed_stale', 's', 'h', 'w', 't', '{{raw/a.csv}}', '2024-01-02', '2024-01-02');
insert into ml.alert_deliveries (alert_id, channel, event) values (1, 'slack', 'raised');
"""


def dump(url: str) -> str:
    """Return the schemas and their rows as SQL."""
    command = [str(installed_binaries() / "pg_dump"), "--inserts", "--no-owner", "--no-privileges"]
    schemas = ["--schema=landing", "--schema=warehouse", "--schema=ml"]
    text = subprocess.run(
        [*command, *schemas, f"--dbname={url}"], check=True, capture_output=True, text=True
    ).stdout
    # \\restrict and the like are for psql; the comments name versions of programs.
    kept = (line for line in text.splitlines() if line and not line.startswith(("\\", "--")))
    return "\n".join(kept) + "\n"


def main() -> None:
    target = FOLDER / f"released_{HEAD}.sql"
    with (
        tempfile.TemporaryDirectory() as home,
        EmbeddedPostgres(Path(home)) as server,
        psycopg.connect(server.warehouse_url, autocommit=True) as connection,
    ):
        ensure_schema(connection)
        connection.execute(ROWS)
        target.write_text(dump(server.warehouse_url), encoding="utf-8")


if __name__ == "__main__":
    main()
