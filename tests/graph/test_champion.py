"""Whose turn it is: contender, champion, and who else changes what is served meanwhile.

On copies of a finished world, most of them with a weak champion (the naive baseline).
"""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.assets import comparison as comparison_asset
from scalecast_assets.assets import promotion
from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.columns import feature_contract_hash
from scalecast_assets.contract.pointers import read_serving
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.promotion import switching
from tests.graph.altered_models import PROMOTING, predicts, refit_gives, serve_again
from tests.graph.small_retailer import LEARNABLE_DAYS, day_of
from tests.graph.world import World, failures, materialized

# dbt and Great Expectations warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")


def test_a_better_contender_takes_the_place_of_a_weak_champion(world: World) -> None:
    weak = world.serve_weak_champion()
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    pointer = world.pointer
    assert pointer is not None
    assert (pointer.version, pointer.previous) == ("1.2.0", weak)
    assert materialized(result)[keys.PROMOTED_MODEL]["outcome"] == "promoted"
    with psycopg.connect(world.database_url) as connection:
        row = connection.execute(
            "select outcome, version, previous, leaderboard from ml.promotions "
            "order by decided_at desc limit 1"
        ).fetchone()
    assert row is not None
    assert row[:3] == ("promoted", "1.2.0", weak)
    assert keys.CHAMPION in {entry["name"] for entry in row[3]}


def test_a_champion_that_changed_after_the_comparison_is_compared_with_first(
    world: World,
) -> None:
    world.serve_weak_champion()
    assert world.run(keys.MODEL_COMPARISON).success
    colleagues = switching.rollback(world.store, "1.0.0")
    result = world.run(keys.PROMOTED_MODEL)
    assert result.success, failures(result)
    # The verdict was to promote; but what the colleague serves is the very same model.
    assert materialized(result)[keys.PROMOTED_MODEL]["outcome"] == "unchanged"
    assert world.pointer == colleagues.pointer


def publish_while(
    patch: pytest.MonkeyPatch, meanwhile: Callable[[DirectoryStore], Any], times: int
) -> list[str]:
    """Have a colleague act between publishing and switching; returns the versions published."""
    publish = promotion._publish
    published: list[str] = []

    def interrupted(store: Any, *given: Any) -> Any:
        manifest = publish(store, *given)
        published.append(manifest.version)
        if len(published) <= times:
            meanwhile(store)
        return manifest

    patch.setattr(promotion, "_publish", interrupted)
    return published


def test_a_champion_that_changes_during_the_promotion_is_never_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = world.serve_weak_champion()
    colleagues: list[str] = []
    published = publish_while(
        monkeypatch, lambda store: colleagues.append(world.serve_weak_champion()), times=1
    )
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    pointer = world.pointer
    assert pointer is not None
    assert len(published) == 2
    assert (pointer.version, pointer.previous) == (published[1], colleagues[0])
    assert colleagues[0] not in (weak, *published)
    assert f"champion {colleagues[0]}" in materialized(result)[keys.PROMOTED_MODEL]["why"]


def test_a_champion_that_changes_every_time_ends_the_run_without_a_promotion(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve_weak_champion()
    colleagues: list[str] = []
    published = publish_while(
        monkeypatch, lambda store: colleagues.append(world.serve_weak_champion()), times=99
    )
    result = world.run(*PROMOTING)
    assert not result.success
    assert "The champion changed 3 times" in failures(result)[keys.PROMOTED_MODEL]
    assert len(published) == promotion.TRIES
    pointer = world.pointer
    assert pointer is not None
    assert pointer.version == colleagues[-1]


def test_gates_are_held_against_what_a_second_comparison_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion changes, the winner is refitted again, and this time the graph is bad."""
    world.serve_weak_champion()
    colleagues: list[str] = []

    def meanwhile(store: DirectoryStore) -> None:
        colleagues.append(world.serve_weak_champion())
        refit_gives(monkeypatch, predicts(-1.0))

    publish_while(monkeypatch, meanwhile, times=1)
    result = world.run(*PROMOTING)
    assert not result.success
    assert_stays(world, result, "predictions_are_finite_and_not_negative", colleagues[-1])
    versions = world.versions

    again = world.run(keys.PROMOTED_MODEL)
    assert_stays(world, again, "predictions_are_finite_and_not_negative", colleagues[-1])
    assert world.versions == versions


def assert_stays(
    world: World, result: dg.ExecuteInProcessResult, because: str, champion: str
) -> None:
    assert not result.success
    assert because in failures(result)[keys.PROMOTED_MODEL]
    held = read_serving(world.store)
    assert held is not None
    assert held.pointer.version == champion


def test_a_verdict_that_no_gate_has_seen_is_judged_before_it_is_carried_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison breaks off once its verdict is written: the gates on record are older."""
    weak = world.serve_weak_champion()
    versions = world.versions
    refit_gives(monkeypatch, predicts(-1.0))
    with monkeypatch.context() as broken:
        broken.delattr(comparison_asset, "_metadata")
        assert not world.run(keys.MODEL_COMPARISON).success
    result = world.run(keys.PROMOTED_MODEL)
    assert_stays(world, result, "predictions_are_finite_and_not_negative", weak)
    assert world.versions == versions


def test_what_was_written_after_the_verdict_is_not_published_for_what_was_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next comparison breaks off before its verdict, leaving a sound model of another kind."""
    weak = world.serve_weak_champion()
    assert world.run(keys.MODEL_COMPARISON).success
    versions = world.versions
    with monkeypatch.context() as broken:
        refit_gives(broken, predicts(5.0))
        broken.setattr(comparison_asset, "_curves", None)
        assert not world.run(keys.MODEL_COMPARISON).success
    result = world.run(keys.PROMOTED_MODEL)
    assert_stays(world, result, "materialize model_comparison with its checks", weak)
    assert world.versions == versions


def test_the_verdict_pins_the_bytes_that_are_published(world: World) -> None:
    world.serve_weak_champion()
    assert world.run(*PROMOTING).success
    key = f"candidates/{world.training_set}/comparison.json"
    pinned = json.loads(world.store.get(key).body)["judged_files"]
    held = world.pointer
    assert held is not None
    manifest, _ = read_manifest(world.store, held.version)
    for name in ("model.onnx", "demand_model.pkl"):
        assert manifest.files[name].sha256 == pinned[name]


def test_the_recipe_that_wins_again_on_new_data_is_refreshed(world: World) -> None:
    """The champion is of this recipe and of another training set, whose data ended earlier."""
    older = serve_again(world, training_set="0" * 64, fit_cutoff="2023-04-10")
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    done = materialized(result)[keys.PROMOTED_MODEL]
    assert done["outcome"] == "promoted"
    assert (done["version"], done["previous"]) == ("1.2.0", older)
    until = materialized(result)[keys.MODEL_COMPARISON]["cutoff"]
    manifest, _ = read_manifest(world.store, "1.2.0")
    assert manifest.fit_cutoff == day_of(LEARNABLE_DAYS - 1) > until
    assert f"on data until {manifest.fit_cutoff}" in done["why"]


def test_a_champion_of_another_feature_contract_gives_way_and_it_is_said_so(world: World) -> None:
    other = serve_again(world, calendar="observed", contract_hash=feature_contract_hash("observed"))
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    done = materialized(result)[keys.PROMOTED_MODEL]
    assert (done["outcome"], done["previous"]) == ("promoted", other)
    assert f"champion {other} is of another feature contract and gives way" in done["why"]
    assert "there was no champion" not in done["why"]


def test_a_champion_of_a_family_that_is_gone_gives_way(world: World) -> None:
    other = serve_again(world, candidate="prophet")
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    done = materialized(result)[keys.PROMOTED_MODEL]
    assert (done["outcome"], done["previous"]) == ("promoted", other)
    assert f"champion {other} (prophet) cannot be fitted again and gives way" in done["why"]
