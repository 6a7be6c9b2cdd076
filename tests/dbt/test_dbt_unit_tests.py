"""dbt's own unit tests of the models, which the asset run leaves out."""

from pathlib import Path

from tests.dbt.warehouse_histories import Dbt


def test_every_dbt_unit_test_passes(database_url: str, tmp_path: Path) -> None:
    dbt = Dbt(database_url, tmp_path)
    dbt("run")
    said = dbt("test", "--select", "test_type:unit")
    assert "ERROR=0" in said
    assert "PASS=0" not in said
