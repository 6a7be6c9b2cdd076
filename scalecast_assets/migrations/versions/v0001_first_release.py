"""Schema 1: the tables of 1.0.0.

Databases from before schemas had numbers have some or all of them, perhaps in an older form. So
everything here is "if not exists" or mends what is older, and their rows stay.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    for name in ("warehouse", "monitoring", "alerts"):
        ddl = Path(__file__).with_name(f"v{revision}_{name}.sql").read_text(encoding="utf-8")
        op.get_bind().exec_driver_sql(ddl)
