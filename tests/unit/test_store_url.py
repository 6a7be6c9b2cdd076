"""Opening a store from its URL, and the Dagster resource that does."""

from pathlib import Path
from typing import Any

import pytest
from dagster import Definitions, asset, materialize

from scalecast_assets.contract.store import DirectoryStore, S3Store, open_store
from scalecast_assets.resources.object_store import (
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    ObjectStoreResource,
)


def no_client() -> Any:
    raise AssertionError("a directory needs no S3 client")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///data/store", "/data/store"),
        ("FILE:///data/store/", "/data/store"),
        ("file://localhost/data/store", "/data/store"),
        ("file:///my%20data/Gr%C3%B6%C3%9Fe", "/my data/Größe"),
        ("file:///my data/Größe", "/my data/Größe"),
        ("file:///a%25b", "/a%b"),
        ("file:///a?b#c", "/a?b#c"),
    ],
)
def test_a_file_url_names_a_directory(url: str, path: str) -> None:
    store = open_store(url, no_client)
    assert isinstance(store, DirectoryStore)
    assert str(store.root) == path


def test_the_url_of_a_path_opens_that_path(tmp_path: Path) -> None:
    odd = tmp_path / "a b%20c#d?é"
    store = open_store(odd.as_uri(), no_client)
    store.put("key", b"x")
    assert (odd / "key").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a/b", "my.bucket-1", "a/b/"),
        ("S3://bucket/a b%20/", "bucket", "a b%20/"),
    ],
)
def test_an_s3_url_names_bucket_and_prefix(url: str, bucket: str, prefix: str) -> None:
    store = open_store(url, lambda: object())
    assert isinstance(store, S3Store)
    assert (store.bucket, store.prefix) == (bucket, prefix)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "neither 'file:///absolute/directory' nor 's3://bucket/prefix'"),
        ("/data/store", "neither"),
        ("s3:/bucket", "neither"),
        ("gs://bucket/a", "neither"),
        ("https://user:hunter2@host/bucket", "neither"),
        ("file://relative/path", "three slashes"),
        ("file://", "three slashes"),
        ("file:///50%off", "'%25'"),
        ("file:///a%00b", "control character"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3://a b/prefix", "names no bucket"),
        ("s3://AKIAXXX:hunter2@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("s3://AKIAXXX:hunt/er2@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/a//b", "contains '//'"),
        ("s3://bucket/../b", "'..'"),
    ],
)
def test_other_urls_are_refused_with_the_reason_and_without_secrets(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"store URL|object key") as caught:
        open_store(url, lambda: object())
    assert said in str(caught.value)
    assert "hunt" not in str(caught.value)


def test_the_resource_reaches_s3_by_the_standard_environment(
    s3_bucket: str, aws_environment: None
) -> None:
    resource = ObjectStoreResource(url=f"s3://{s3_bucket}/home")
    resource.store().put("key", b"x")
    assert resource.store().url_of("key") == f"s3://{s3_bucket}/home/key"
    assert resource.store().get("key").body == b"x"


def test_the_resource_takes_an_endpoint_of_its_own(
    s3_bucket: str, moto_endpoint: str, aws_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    resource = ObjectStoreResource(
        url=f"s3://{s3_bucket}", endpoint_url=moto_endpoint, region_name="eu-central-1"
    )
    resource.store().put("key", b"x")
    assert [info.key for info in resource.store().list()] == ["key"]


def test_the_clients_patience_is_bounded(aws_environment: None) -> None:
    store = ObjectStoreResource(url="s3://bucket", max_attempts=2).store()
    assert isinstance(store, S3Store)
    config = store._client.meta.config
    assert config.connect_timeout == CONNECT_TIMEOUT_SECONDS
    assert config.read_timeout == READ_TIMEOUT_SECONDS
    assert config.retries == {"total_max_attempts": 2, "mode": "standard"}


def test_the_resource_shows_no_credentials(
    aws_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-secret")
    resource = ObjectStoreResource(url="s3://bucket/home")
    assert "hunter2" not in repr(resource) + repr(resource.store()) + str(vars(resource))
    loud = ObjectStoreResource(url="s3://bucket", endpoint_url="http://user:hunter2@host")
    with pytest.raises(ValueError, match="AWS_SECRET_ACCESS_KEY") as caught:
        loud.store()
    assert "hunter2" not in str(caught.value)


def test_an_asset_uses_the_resource(tmp_path: Path) -> None:
    @asset
    def greeting(object_store: ObjectStoreResource) -> None:
        object_store.store().put("greeting", b"hello")

    resource = ObjectStoreResource(url=(tmp_path / "a store").as_uri())
    assert Definitions(assets=[greeting], resources={"object_store": resource})
    assert materialize([greeting], resources={"object_store": resource}).success
    assert (tmp_path / "a store" / "greeting").read_bytes() == b"hello"
