"""One limit for prices, and what would follow beyond it: a state that no sidecar can load."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from pydantic import ValidationError

from scalecast_assets import keys
from scalecast_assets.assets import promotion
from scalecast_assets.contract.columns import MAX_PRICE
from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.ingest.ledger import files_in_state
from scalecast_assets.ingest.rules import PRICE_IS_POSITIVE, RULES
from scalecast_assets.ingest.verdict import look_closer
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.warehouse import WarehouseResource
from scalecast_assets.settings import Settings
from serving.schemas import PredictRequest
from tests.factories_files import Pipeline
from tests.serving.makers import make_world


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def test_the_highest_price_is_one_for_files_and_for_requests(pipeline: Pipeline) -> None:
    beyond = float(np.nextafter(MAX_PRICE, np.inf))
    pipeline.put("raw/a.csv", *(f"2024-01-01,S,P{p!r},1,{p!r},0" for p in (MAX_PRICE, beyond)))
    pipeline.land()
    rule = next(rule for rule in RULES if rule.name == PRICE_IS_POSITIVE)
    _, bad = look_closer(pipeline.conn, rule, files_in_state(pipeline.conn, "landed"))
    assert [(line.line, line.reason) for line in bad] == [
        (3, "not above zero and at most 1,000,000,000")
    ]
    asked = {"date": "2024-01-01", "store_id": "S", "product_id": "P", "promotion": False}
    PredictRequest.model_validate({**asked, "price": MAX_PRICE})
    with pytest.raises(ValidationError, match="less than or equal to"):
        PredictRequest.model_validate({**asked, "price": beyond})


@pytest.mark.parametrize(("price", "is_published"), [(20.0, True), (1e39, False)])
def test_a_state_that_cannot_be_loaded_is_not_published(
    pipeline: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    price: float,
    is_published: bool,
) -> None:
    world = make_world()
    world.price = price
    monkeypatch.setattr(promotion, "require_tested_features", lambda *_: None)
    with np.errstate(over="ignore"):
        panel = world.panel()
    monkeypatch.setattr(promotion, "read_panel", lambda *_: panel)
    (asset,) = [
        asset
        for asset in promotion.build_promotion_assets([])
        if asset.key == dg.AssetKey(keys.SERVING_STATE)
    ]
    store = DirectoryStore(tmp_path / "store")
    result = dg.materialize(
        [asset],
        resources={
            "warehouse": WarehouseResource(url=pipeline.url),
            "store": ObjectStoreResource(url=store.root.as_uri()),
            "pipeline": PipelineResource.from_settings(Settings(home=tmp_path)),
        },
        raise_on_error=False,
    )
    assert result.success == is_published
    assert store.exists("serving/state.json") == is_published
