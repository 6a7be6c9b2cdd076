"""The intervals in a bundle: verified like its other files, and missing from older bundles."""

import json
from typing import Any

import pytest

from scalecast_assets.contract.bundle import Manifest, read_bundle
from scalecast_assets.contract.layout import INTERVALS, model_key
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.contract.strict_json import BundleError
from scalecast_assets.promotion.publishing import list_versions, publish_bundle
from tests.interval_tables import plain_table

COVERAGE = {"why_none": None, "rows": [{"group": "all", "level": 80, "covered": 0.81}]}


@pytest.fixture
def published(
    store: ObjectStore, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any]
) -> Manifest:
    files = {**bundle_files, INTERVALS: plain_table().to_bytes()}
    return publish_bundle(store, files, {**manifest_fields, "coverage": COVERAGE})


def test_the_table_and_its_coverage_are_read_back(store: ObjectStore, published: Manifest) -> None:
    bundle = read_bundle(store, published.version)
    assert bundle.intervals is not None
    assert bundle.intervals.to_bytes() == plain_table().to_bytes()
    assert bundle.manifest.coverage == COVERAGE
    assert INTERVALS in bundle.manifest.files
    assert Manifest.parse(bundle.manifest.to_bytes()) == bundle.manifest


def test_a_bundle_from_before_there_were_intervals_is_read_as_it_is(
    store: ObjectStore, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any]
) -> None:
    manifest = publish_bundle(store, bundle_files, manifest_fields)
    key = model_key(manifest.version, "manifest.json")
    document = json.loads(store.get(key).body)
    del document["coverage"]
    store.put(key, json.dumps(document).encode())
    bundle = read_bundle(store, manifest.version)
    assert bundle.intervals is None
    assert bundle.manifest.coverage is None
    assert bundle.manifest == manifest


@pytest.mark.parametrize("spoilt", [[], "80 %", 0.8, True])
def test_a_coverage_that_is_no_object_is_refused(published: Manifest, spoilt: Any) -> None:
    document = {**json.loads(published.to_bytes()), "coverage": spoilt}
    with pytest.raises(BundleError, match="'coverage': expected a JSON object"):
        Manifest.parse(json.dumps(document).encode())


def test_an_altered_table_is_refused(store: ObjectStore, published: Manifest) -> None:
    key = model_key(published.version, INTERVALS)
    data = store.get(key).body
    store.put(key, data.replace(b"0.5", b"0.6", 1))
    with pytest.raises(BundleError, match=r"intervals\.json of .*: expected sha256"):
        read_bundle(store, published.version)
    store.delete(key)
    with pytest.raises(BundleError, match=r"intervals\.json of .* is missing"):
        read_bundle(store, published.version)


def test_a_table_that_a_reader_would_refuse_is_not_published(
    store: ObjectStore, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any]
) -> None:
    files = {**bundle_files, INTERVALS: plain_table().to_bytes().replace(b"0.5", b"-0.5", 1)}
    with pytest.raises(BundleError, match="numbers from 0 to"):
        publish_bundle(store, files, manifest_fields)
    assert list_versions(store) == []


def test_coverage_that_is_no_number_is_not_published(
    store: ObjectStore, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any]
) -> None:
    fields = {
        **manifest_fields,
        "coverage": {"why_none": None, "rows": [{"covered": float("nan")}]},
    }
    with pytest.raises(BundleError, match="finite numbers"):
        publish_bundle(store, bundle_files, fields)
