"""The bundle's manifest and encoders, parsed strictly, and bundles verified as they are read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalecast_assets.contract.bundle import (
    BundleError,
    Manifest,
    read_bundle,
    read_manifest,
    read_state,
    verify_files,
)
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.layout import (
    archive_key,
    is_version,
    model_key,
    next_version,
    quarantine_key,
    state_key,
    version_order,
)
from scalecast_assets.contract.pointers import StatePointer
from scalecast_assets.contract.store import DirectoryStore, ObjectStore
from scalecast_assets.promotion.publishing import publish_bundle

Document = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """A directory: what is read here does not depend on the kind of store."""
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def published(
    store: ObjectStore, bundle_files: dict[str, bytes], manifest_fields: Document
) -> Manifest:
    return publish_bundle(store, bundle_files, manifest_fields)


@pytest.fixture
def document(tmp_path: Path, bundle_files: dict[str, bytes], manifest_fields: Document) -> Document:
    """A valid manifest, to be spoilt."""
    manifest = publish_bundle(DirectoryStore(tmp_path / "one"), bundle_files, manifest_fields)
    loaded: Document = json.loads(manifest.to_bytes())
    return loaded


def parse(document: object) -> Manifest:
    return Manifest.parse(json.dumps(document).encode())


def without(name: str) -> Callable[[Document], object]:
    return lambda document: document.pop(name)


def with_(**values: object) -> Callable[[Document], object]:
    return lambda document: document.update(values)


def file(name: str, size: object = 1, sha256: object = "ab" * 32) -> Callable[[Document], object]:
    return lambda document: document["files"].update({name: {"size": size, "sha256": sha256}})


def test_a_manifest_survives_the_round_trip_byte_for_byte(published: Manifest) -> None:
    data = published.to_bytes()
    assert Manifest.parse(data) == published
    assert Manifest.parse(data).to_bytes() == data
    assert published.params["eta"] == 0.1
    assert published.leaderboard[0]["mape"] is None
    assert published.raw_files[0].key == "raw/sales März.csv"


SPOILT: list[tuple[Callable[[Document], object], str]] = [
    (with_(format=2), "format 2 is unknown to this release"),
    (without("format"), "field 'format' is missing"),
    (with_(format=True), "'format': expected a JSON whole number, found True"),
    (without("candidate"), "field 'candidate' is missing"),
    (with_(surprise=1), "unknown field 'surprise'"),
    (with_(version="1.0"), "'version': expected a version such as '1.0.0', found '1.0'"),
    (with_(version="../../etc"), "'version': expected a version"),
    (with_(version="1.0.0\n"), "'version': expected a version"),
    (with_(features=[]), "'features': expected a list of different names"),
    (with_(features=["lag_1", "lag_1"]), "'features': expected a list of different names"),
    (with_(features="lag_1"), "'features': expected a JSON list"),
    (with_(calendar="julian"), "'calendar': expected 'store' or 'observed', found 'julian'"),
    (with_(training_set="AB" * 32), "'training_set': expected a sha256"),
    (with_(fit_cutoff="2024-02-30"), "'fit_cutoff': expected an ISO day"),
    (with_(fit_cutoff="20240314"), "'fit_cutoff': expected an ISO day"),
    (with_(fit_cutoff="2024-02-28"), "lies after fit_cutoff"),
    (with_(created_at="2024-03-14T00:00:00"), "'created_at': expected an ISO instant"),
    (with_(horizon_days=0), "'horizon_days': expected a whole number from 1 to 366, found 0"),
    (with_(horizon_days=14.0), "'horizon_days': expected a JSON whole number, found 14.0"),
    (with_(params=[]), "'params': expected a JSON object"),
    (with_(leaderboard=[1]), "'leaderboard[0]': expected a JSON object, found 1"),
    (with_(libraries={"numpy": 2}), "'libraries.numpy': expected a JSON text, found 2"),
    (with_(git_commit="\x1b[2J"), "'git_commit': expected 1 to 500 printable characters"),
    (with_(raw_files=[{"key": "a"}]), "raw_files[0]: field 'sha256' is missing"),
    (with_(raw_files=[3]), "raw_files[0]: expected an object, found 3"),
    (with_(files={}), "files lacks 'model.onnx'"),
    (file("../../../etc/cron.d/x"), "expected plain file names"),
    (file("/etc/passwd"), "expected plain file names"),
    (file("a/b"), "expected plain file names"),
    (file(".."), "expected plain file names"),
    (file("manifest.json"), "expected plain file names"),
    (file("claim.json"), "expected plain file names"),
    (file("model.onnx", size=100_000_001), "'size': expected a whole number from 0 to 100000000"),
    (file("model.onnx", size=-1), "'size': expected a whole number"),
    (file("model.onnx", size=True), "'size': expected a JSON whole number, found True"),
    (file("model.onnx", sha256="0" * 63), "'sha256': expected a sha256"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILT, ids=[said for _, said in SPOILT])
def test_a_spoilt_manifest_is_refused_with_the_field_and_the_reason(
    document: Document, spoil: Callable[[Document], object], said: str
) -> None:
    parse(document)
    spoil(document)
    with pytest.raises(BundleError) as caught:
        parse(document)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no valid JSON"),
        (b"\xff\xfe{}", "no valid JSON"),
        (b"\xef\xbb\xbf{}", "no valid JSON"),
        (b'{"format": 1', "no valid JSON"),
        (b'{"format": 1} trailing', "no valid JSON"),
        (b"[]", "expected an object, found []"),
        (b"null", "expected an object, found None"),
        (b'{"format": 1, "format": 1}', "'format' occurs twice"),
        (b'{"format": NaN}', "NaN is no JSON number"),
        (b'{"format": -Infinity}', "-Infinity is no JSON number"),
        (b'{"format": 1e999}', "too large"),
        (b'{"format": ' + b"9" * 5000 + b"}", "no valid JSON"),
        (b'{"a": "\\ud800"}', "no valid Unicode"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "deeper than 20"),
        (b"[" * 200_000, "nested"),
        (b" " * (16 * 1024 * 1024 + 1), "larger than"),
    ],
)
def test_what_is_no_proper_json_object_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(BundleError, match="manifest") as caught:
        Manifest.parse(data)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_number_that_is_none_cannot_be_published(
    tmp_path: Path, bundle_files: dict[str, bytes], manifest_fields: Document
) -> None:
    manifest_fields["leaderboard"] = [{"name": "x", "mae": float("nan")}]
    store = DirectoryStore(tmp_path)
    with pytest.raises(BundleError, match="undefined metric is null"):
        publish_bundle(store, bundle_files, manifest_fields)
    assert list(store.list()) == []


def test_encoders_survive_the_round_trip() -> None:
    encoders = Encoders({"0012": 1, "Ü 'x'": 3}, {"": 1})
    assert Encoders.parse(encoders.to_bytes()) == encoders


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"format": 2, "stores": {}, "products": {}},
        {"format": 1, "stores": {}},
        {"format": 1, "stores": {}, "products": {}, "more": {}},
        {"format": 1, "stores": [], "products": {}},
        {"format": 1, "stores": {"a": 0}, "products": {}},
        {"format": 1, "stores": {"a": -1}, "products": {}},
        {"format": 1, "stores": {"a": 1.0}, "products": {}},
        {"format": 1, "stores": {"a": "1"}, "products": {}},
        {"format": 1, "stores": {"a": None}, "products": {}},
        {"format": 1, "stores": {"a": True}, "products": {}},
        {"format": 1, "stores": {}, "products": {"a": 1, "b": 1}},
    ],
)
def test_spoilt_encoders_are_refused(document: Document) -> None:
    with pytest.raises(BundleError, match=r"encoders\.json"):
        Encoders.parse(json.dumps(document).encode())


def test_a_published_bundle_is_read_and_verified(store: ObjectStore, published: Manifest) -> None:
    bundle = read_bundle(store, "1.0.0")
    assert bundle.manifest == published
    assert bundle.onnx == b"an ONNX graph"
    assert bundle.encoders.stores == {"STORE_001": 1, "0012": 2}
    assert read_bundle(store, "1.0.0", bundle.manifest_sha256) == bundle
    with pytest.raises(BundleError, match="the pointer says"):
        read_bundle(store, "1.0.0", "0" * 64)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "encoders.json"])
def test_a_bundle_without_a_file_it_needs_is_refused(
    store: ObjectStore, published: Manifest, name: str
) -> None:
    store.delete(model_key("1.0.0", name))
    with pytest.raises(BundleError, match=r"1\.0\.0 is missing"):
        read_bundle(store, "1.0.0")


@pytest.mark.parametrize("name", ["model.onnx", "encoders.json"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-1], "found only"),
        (lambda data: data + b"x", "found more than"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "expected sha256"),
        (lambda data: b"", "found only 0"),
    ],
)
def test_an_altered_file_is_refused(
    store: ObjectStore,
    published: Manifest,
    name: str,
    change: Callable[[bytes], bytes],
    said: str,
) -> None:
    key = model_key("1.0.0", name)
    store.put(key, change(store.get(key).body))
    with pytest.raises(BundleError, match=f"{name} of 1.0.0") as caught:
        read_bundle(store, "1.0.0")
    assert said in str(caught.value)


def test_the_sidecar_reads_no_pickle(store: ObjectStore, published: Manifest) -> None:
    for name in ("demand_model.pkl", "report.html"):
        store.delete(model_key("1.0.0", name))
    assert read_bundle(store, "1.0.0").manifest == published
    with pytest.raises(BundleError, match=r"demand_model\.pkl of 1\.0\.0 is missing"):
        verify_files(store, published)


def test_a_manifest_under_another_version_is_refused(
    store: ObjectStore, published: Manifest
) -> None:
    store.copy("models/1.0.0/manifest.json", "models/1.1.0/manifest.json")
    with pytest.raises(BundleError, match=r"manifest of 1\.1\.0 says that it is of 1\.0\.0"):
        read_manifest(store, "1.1.0")


def test_a_model_for_other_features_is_refused(store: ObjectStore, document: Document) -> None:
    document["contract_hash"] = "0123456789abcdef"
    store.put("models/1.0.0/manifest.json", json.dumps(document).encode())
    with pytest.raises(BundleError, match=r"feature contract 0123456789abcdef.*this release"):
        read_bundle(store, "1.0.0")


def test_a_state_is_read_and_verified(store: ObjectStore) -> None:
    pointer = StatePointer("ab" * 32, 3, "2024-03-14", "c", 1)
    with pytest.raises(BundleError, match=r"state abab.* is missing"):
        read_state(store, pointer)
    store.put(state_key(pointer.sha256), b"abc")
    with pytest.raises(BundleError, match="expected sha256 abab"):
        read_state(store, pointer)


def test_versions_are_ordered_as_numbers() -> None:
    assert sorted(["1.10.0", "1.9.0", "1.0.0"], key=version_order) == ["1.0.0", "1.9.0", "1.10.0"]
    assert [next_version(v) for v in (None, "1.3.0", "1.9.5")] == ["1.0.0", "1.4.0", "1.10.0"]


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0 ", "1.0.0\n", "-1.0.0", "١.0.0"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    assert not is_version(text)
    with pytest.raises(ValueError, match=r"does not read like '1\.0\.0'"):
        model_key(text, "model.onnx")


def test_keys_are_where_the_design_says() -> None:
    sha = "ab" + "c" * 62
    assert archive_key(sha) == f"archive/sha256/ab/{sha}"
    assert state_key(sha) == f"state/{sha}/state.npz"
    assert quarantine_key("raw/a/b.csv", "report.json") == "quarantine/a/b.csv/report.json"
    for wrong in ("", "../x", sha.upper(), sha + "\n", sha[:-1]):
        with pytest.raises(ValueError, match="no sha256"):
            archive_key(wrong)
