"""dbt's own unit tests of the models, which the asset run leaves out."""

from pathlib import Path

from tests.dbt.warehouse_histories import Dbt


def test_every_dbt_unit_test_passes(database_url: str, tmp_path: Path) -> None:
    dbt = Dbt(database_url, tmp_path)
    dbt("run")  # a unit test takes the types of columns from the tables
    found = dbt("test", "--select", "test_type:unit")
    assert len(found) >= 13
    assert set(found.values()) == {"pass"}
