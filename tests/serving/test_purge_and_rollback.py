"""A rollback after a purge: to every version that is left, and the sidecar follows."""

from datetime import UTC, datetime, timedelta

import pytest

from scalecast_assets.contract.bundle import BundleError
from scalecast_assets.contract.layout import CLAIM, model_key
from scalecast_assets.promotion.publishing import list_versions
from scalecast_assets.promotion.switching import rollback
from scalecast_assets.retention.policy import Policy
from scalecast_assets.retention.store_purge import plan_other_areas, plan_versions, remove
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import (
    World,
    asking,
    linear_graph,
    point_at,
    write_bundle,
    write_state,
)

KEEP_THREE = Policy(3, 1, 1, 0, 1, 0, 0, 0)


def test_a_rollback_after_a_purge_to_any_version_that_is_left_is_served(
    any_home: Home, world: World
) -> None:
    """Version 1.n.0 always answers n + 1."""
    store = any_home.store
    for n in range(7):
        version = f"1.{n}.0"
        graph = linear_graph({}, bias=n + 1.0)
        store.put_if_absent(model_key(version, CLAIM), b"{}")
        point_at(store, version, write_bundle(store, version, graph, world.encoders))
    write_state(store, world.panel())
    rollback(store, "1.1.0")
    with running(any_home.settings) as api:

        def serves(version: str) -> bool:
            reply = api.post("/predict", json=asking())
            assert reply.status_code == 200, reply.text
            body = reply.json()
            found = str(body["model_version"])
            assert body["prediction"] == int(found.split(".")[1]) + 1
            return found == version

        eventually(lambda: serves("1.1.0"), "the rolled back version is served")
        later = datetime.now(UTC) + timedelta(days=200)
        for removal in [
            *plan_versions(store, KEEP_THREE, later),
            *plan_other_areas(store, KEEP_THREE, later),
        ]:
            remove(store, removal)
            assert serves("1.1.0")
        left = list_versions(store)
        assert left == ["1.1.0", "1.4.0", "1.5.0", "1.6.0"]
        for version in [*left, *reversed(left)]:
            assert rollback(store, version).pointer.version == version
            eventually(lambda: serves(version), version)  # noqa: B023
        with pytest.raises(BundleError, match=r"there is no complete version 1\.3\.0"):
            rollback(store, "1.3.0")
        assert serves("1.1.0")
    with running(any_home.settings) as restarted:
        assert restarted.post("/predict", json=asking()).json()["model_version"] == "1.1.0"
