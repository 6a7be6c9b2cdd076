"""A second version beside the champion: set, changed, ended, and what promotions do to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scalecast_assets.cli import cli
from scalecast_assets.contract.bundle import BundleError, Manifest, read_manifest
from scalecast_assets.contract.challenger import Challenger
from scalecast_assets.contract.layout import MANIFEST, MODEL_POINTER, model_key
from scalecast_assets.contract.pointers import ServingPointer, read_serving
from scalecast_assets.contract.store import DirectoryStore, ObjectStore
from scalecast_assets.promotion.challenging import challenge, end_challenge
from scalecast_assets.promotion.publishing import publish_bundle
from scalecast_assets.promotion.switching import ConcurrentPromotion, promote, rollback
from tests.serving.makers import linear_graph, make_world, set_up, write_bundle

Publish = Callable[[bytes], Manifest]


@pytest.fixture
def publish(
    store: ObjectStore, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any]
) -> Publish:
    def publish_with(onnx: bytes) -> Manifest:
        return publish_bundle(store, {**bundle_files, "model.onnx": onnx}, manifest_fields)

    return publish_with


@pytest.fixture
def three(store: ObjectStore, publish: Publish) -> ObjectStore:
    """Versions 1.0.0, 1.1.0 and 1.2.0, of which the first is served."""
    for number in range(3):
        publish(b"%d" % number)
    promote(store, "1.0.0", None)
    return store


def pointer(store: ObjectStore) -> ServingPointer:
    held = read_serving(store)
    assert held is not None
    return held.pointer


def beside(store: ObjectStore) -> str | None:
    found = pointer(store).challenger
    return found.version if found else None


def test_a_challenge_is_set_changed_and_ended(three: ObjectStore) -> None:
    begun = challenge(three, "1.1.0", mode="split", share=0.1)
    sha256 = read_manifest(three, "1.1.0")[1]
    assert pointer(three).challenger == Challenger("1.1.0", sha256, 0.1, "split")
    assert begun.message == "1.1.0 answers for 10 % of the series, beside 1.0.0"
    again = challenge(three, "1.1.0", mode="split", share=0.1)
    assert (begun.changed, again.changed) == (True, False)
    challenge(three, "1.2.0", mode="shadow", share=1.0)
    assert (beside(three), pointer(three).version) == ("1.2.0", "1.0.0")
    ended = end_challenge(three)
    assert (ended.changed, beside(three)) == (True, None)
    assert ended.message == "the challenger 1.2.0 has ended; 1.0.0 answers for all"
    assert not end_challenge(three).changed


def test_what_cannot_challenge_is_refused_and_changes_nothing(
    three: ObjectStore, publish: Publish
) -> None:
    three.put(model_key("1.2.0", "model.onnx"), b"x")
    before = three.get(MODEL_POINTER)
    for version, why in (
        ("1.0.0", "is the champion already"),
        ("1.7.0", r"no complete version '1.7.0'; there are: 1.1.0, 1.2.0"),
        ("newest", "no complete version"),
        ("1.2.0", "expected"),
    ):
        with pytest.raises(BundleError, match=why):
            challenge(three, version, mode="split", share=0.5)
    for share in (0.0, 1.0):
        with pytest.raises(BundleError, match="share"):
            challenge(three, "1.1.0", mode="split", share=share)
    assert three.get(MODEL_POINTER) == before


def test_before_anything_is_served_nothing_can_be_challenged(
    store: ObjectStore, publish: Publish
) -> None:
    publish(b"0")
    with pytest.raises(BundleError, match="nothing is served yet"):
        challenge(store, "1.0.0", mode="shadow", share=1)
    with pytest.raises(BundleError, match="nothing is served yet"):
        end_challenge(store)


def test_an_entry_that_was_spoilt_is_ended_or_replaced(three: ObjectStore) -> None:
    challenge(three, "1.1.0", mode="split", share=0.1)
    good = three.get(MODEL_POINTER).body
    bad = good.replace(b'"split"', b'"both"')
    three.put(MODEL_POINTER, bad)
    assert pointer(three).spoilt
    assert end_challenge(three).changed
    assert pointer(three).spoilt is None
    three.put(MODEL_POINTER, bad)
    assert challenge(three, "1.2.0", mode="shadow", share=1).changed
    assert (beside(three), pointer(three).spoilt) == ("1.2.0", None)


def test_promoting_a_third_keeps_the_challenger(three: ObjectStore) -> None:
    challenge(three, "1.1.0", mode="split", share=0.1)
    entry = pointer(three).challenger
    done = promote(three, "1.2.0", read_serving(three))
    assert pointer(three) == ServingPointer(
        "1.2.0", read_manifest(three, "1.2.0")[1], "1.0.0", entry
    )
    assert "1.1.0 goes on challenging" in done.message


def test_promoting_the_challenger_ends_it(three: ObjectStore) -> None:
    challenge(three, "1.1.0", mode="split", share=0.1)
    done = promote(three, "1.1.0", read_serving(three))
    assert (pointer(three).version, beside(three)) == ("1.1.0", None)
    assert "it was the challenger" in done.message


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.2.0"])
def test_after_a_rollback_one_version_answers_for_all(three: ObjectStore, version: str) -> None:
    challenge(three, "1.1.0", mode="split", share=0.1)
    done = rollback(three, version)
    assert done.changed
    assert (pointer(three).version, beside(three)) == (version, None)
    assert "ends with a rollback" in done.message


def test_a_challenger_that_is_gone_or_another_one_ends_with_the_next_promotion(
    three: ObjectStore,
) -> None:
    challenge(three, "1.1.0", mode="split", share=0.1)
    manifest = three.get(model_key("1.1.0", MANIFEST)).body
    three.put(model_key("1.1.0", MANIFEST), manifest + b"\n")
    assert "another one" in promote(three, "1.2.0", read_serving(three)).message
    assert beside(three) is None
    three.put(model_key("1.1.0", MANIFEST), manifest)
    challenge(three, "1.1.0", mode="split", share=0.1)
    three.delete(model_key("1.1.0", MANIFEST))
    assert "1.1.0 ends" in promote(three, "1.0.0", read_serving(three)).message
    assert beside(three) is None


class Meddled(DirectoryStore):
    """A store in which somebody promotes between our reading and our writing."""

    def compare_and_swap(self, key: str, data: bytes, etag: str) -> str:
        other = DirectoryStore(self.root)
        promote(other, "1.2.0", read_serving(other))
        return super().compare_and_swap(key, data, etag)


def test_a_challenge_to_a_champion_that_has_gone_is_refused(
    store: ObjectStore, three: ObjectStore
) -> None:
    if not isinstance(three, DirectoryStore):
        pytest.skip("meddling is done on a folder")
    with pytest.raises(ConcurrentPromotion, match="moved after it was read"):
        challenge(Meddled(three.root), "1.1.0", mode="split", share=0.5)
    assert (pointer(three).version, beside(three)) == ("1.2.0", None)


def test_the_command_says_what_it_did_and_models_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALECAST_HOME", str(tmp_path / "home"))
    home, world = DirectoryStore(tmp_path / "home" / "store"), make_world()
    set_up(home, world)
    write_bundle(home, "1.1.0", linear_graph(), world.encoders)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    told = json.loads(call("challenge", "1.1.0", "--shadow", "--json"))
    assert told["challenger"] == {"version": "1.1.0", "mode": "shadow", "share": 1.0}
    assert (told["version"], told["changed"]) == ("1.0.0", True)
    assert "answers for 10 % of the series" in call("challenge", "1.1.0", "--share", "0.1")
    shown = json.loads(call("models", "--json"))
    assert (shown["challenger"]["version"], shown["challenger"]["share"]) == ("1.1.0", 0.1)
    assert [one["version"] for one in shown["versions"] if one["challenges"]] == ["1.1.0"]
    assert "challenger" in call("models")
    assert "the challenger 1.1.0 has ended" in call("challenge", "--end")
    assert "challenger" not in call("models")
    assert "rollback" in call("challenge", "--help")
