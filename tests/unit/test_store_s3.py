"""What only the S3 store has to fear: the network, refusals, and other people's objects."""

import contextlib
import functools
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from scalecast_assets.contract.store import (
    InvalidKey,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    PreconditionFailed,
    S3Store,
    StoreError,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@functools.cache
def session() -> boto3.session.Session:
    """Only the first client of a session reads the service's long description."""
    return boto3.session.Session()


def client_of(endpoint: str) -> Any:
    config = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
    return session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="a-secret-of-ours",
        config=config,
    )


@contextmanager
def server_that_answers(status: int, body: bytes, length: int | None = None) -> Iterator[str]:
    """A server with one answer to everything; ``length`` may announce more than comes."""

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.send_header("ETag", '"an etag"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection = True

        protocol_version = "HTTP/1.1"  # which knows Expect: 100-continue
        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Answer) as endpoint:
        yield endpoint


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on a free port; yields its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


IMMENSE_BYTES = 256 << 20


class ImmenseObject(BaseHTTPRequestHandler):
    """Sends ``IMMENSE_BYTES`` zeros, or as many as the client takes, and counts them."""

    protocol_version = "HTTP/1.1"
    sent = 0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(IMMENSE_BYTES))
        self.send_header("ETag", '"an etag"')
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for _ in range(IMMENSE_BYTES >> 20):
                self.wfile.write(bytes(1 << 20))
                type(self).sent += 1 << 20
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def error_body(code: str) -> bytes:
    text = f"<Error><Code>{code}</Code><Message>said the server</Message></Error>"
    return b'<?xml version="1.0" encoding="UTF-8"?>' + text.encode()


def operations(store: ObjectStore, file: Path) -> dict[str, Any]:
    return {
        "get": lambda: store.get("a/b"),
        "get_if_changed": lambda: store.get_if_changed("a/b", '"etag"'),
        "open": lambda: store.open("a/b").__enter__(),
        "put": lambda: store.put("a/b", b"x"),
        "put_if_absent": lambda: store.put_if_absent("a/b", b"x"),
        "compare_and_swap": lambda: store.compare_and_swap("a/b", b"x", '"etag"'),
        "upload": lambda: store.upload(file, "a/b"),
        "download": lambda: store.download("a/b", file.with_name("target")),
        "copy": lambda: store.copy("a/b", "c"),
        "list": lambda: list(store.list("a/")),
        "exists": lambda: store.exists("a/b"),
        "delete": lambda: store.delete("a/b"),
        "delete_many": lambda: store.delete_many(["a/b", "c"]),
    }


OPERATIONS = list(operations(S3Store(None, "b"), Path("x")))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_missing_bucket_is_named_and_not_mistaken_for_a_missing_object(
    moto_endpoint: str, operation: str, file: Path
) -> None:
    store = S3Store(client_of(moto_endpoint), "no-such-bucket", "p")
    with pytest.raises(StoreUnavailable, match="bucket 'no-such-bucket' does not exist at http"):
        operations(store, file)[operation]()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_endpoint_where_nobody_listens_is_named_with_what_to_do(
    operation: str, file: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
            operations(S3Store(client_of(endpoint), "bucket", "p"), file)[operation]()
    assert endpoint in str(caught.value)
    assert "AWS_ENDPOINT_URL" in str(caught.value)
    assert "a-secret-of-ours" not in str(caught.value)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "refuses us.*credentials"),
        (403, "SignatureDoesNotMatch", "refuses us.*credentials"),
        (501, "NotImplemented", "does not implement.*If-Match"),
        (503, "SlowDown", "answered 503.*try again"),
        (500, "InternalError", "answered 500.*try again"),
    ],
)
def test_refusals_say_what_to_do(
    operation: str, status: int, code: str, said: str, file: Path
) -> None:
    with server_that_answers(status, error_body(code)) as endpoint:
        store = S3Store(client_of(endpoint), "bucket")
        with pytest.raises(StoreUnavailable, match=said) as caught:
            operations(store, file)[operation]()
    assert endpoint in str(caught.value)


@pytest.mark.parametrize("operation", ["put_if_absent", "compare_and_swap"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (412, "PreconditionFailed"),
        (409, "ConditionalRequestConflict"),
        (409, "OperationAborted"),
    ],
)
def test_a_lost_race_is_told_alike_however_s3_says_it(
    operation: str, status: int, code: str, file: Path
) -> None:
    with server_that_answers(status, error_body(code)) as endpoint:
        store = S3Store(client_of(endpoint), "bucket")
        with pytest.raises(PreconditionFailed, match="s3://bucket/a/b"):
            operations(store, file)[operation]()


def test_swapping_a_deleted_object_is_a_lost_race(file: Path) -> None:
    with server_that_answers(404, error_body("NoSuchKey")) as endpoint:
        store = S3Store(client_of(endpoint), "bucket")
        with pytest.raises(PreconditionFailed):
            store.compare_and_swap("a", b"x", '"etag"')


@pytest.mark.parametrize("operation", ["get", "download"])
def test_an_answer_cut_short_is_an_error_and_leaves_no_file(operation: str, file: Path) -> None:
    with server_that_answers(200, b"half", length=8) as endpoint:
        store = S3Store(client_of(endpoint), "bucket")
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            operations(store, file)[operation]()
    assert [path.name for path in file.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("operation", ["get", "get_if_changed"])
def test_a_limited_answer_cut_short_is_an_error_and_not_an_end(operation: str) -> None:
    with server_that_answers(200, b"half", length=8) as endpoint:
        store = S3Store(client_of(endpoint), "bucket")
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            limited(store, 100)[operation]()


@pytest.mark.parametrize("operation", ["get", "get_if_changed"])
def test_an_immense_object_is_left_unread_beyond_the_limit(operation: str) -> None:
    class Immense(ImmenseObject):
        pass

    with serving(Immense) as endpoint:
        store = S3Store(client_of(endpoint), "bucket")
        with pytest.raises(ObjectTooLarge, match="'a' is larger than 65536 bytes"):
            limited(store, 65_536)[operation]()
    assert Immense.sent < IMMENSE_BYTES // 4  # the rest is what the network's buffers hold


def limited(store: ObjectStore, max_bytes: int) -> dict[str, Any]:
    return {
        "get": lambda: store.get("a", max_bytes),
        "get_if_changed": lambda: store.get_if_changed("a", '"etag"', max_bytes),
    }


def test_a_stream_cut_short_is_an_error_and_not_an_end() -> None:
    with server_that_answers(200, b"half", length=8) as endpoint:
        store = S3Store(client_of(endpoint), "bucket")
        with (
            store.open("a") as stream,
            pytest.raises(StoreUnavailable, match="cannot be reached"),
        ):
            stream.read()


def test_a_service_that_speaks_no_s3_is_an_error_of_ours(file: Path) -> None:
    with server_that_answers(200, b"<html>hello</html>") as endpoint:
        store = S3Store(client_of(endpoint), "bucket")
        with pytest.raises(StoreError):
            list(store.list())


def test_a_password_in_the_endpoint_is_not_shown() -> None:
    store = S3Store(client_of("http://user:hunter2@127.0.0.1:9"), "bucket")
    with pytest.raises(StoreUnavailable) as caught:
        store.get("a")
    assert "hunter2" not in str(caught.value)


def test_folders_made_by_consoles_and_keys_nobody_can_name_are_left_out(
    s3_client: "S3Client", s3_bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("p/", "p/raw/", "p/raw/a.csv", "p/raw//b.csv", "p/raw/../c.csv", "other"):
        s3_client.put_object(Bucket=s3_bucket, Key=key, Body=b"x")
    store = S3Store(s3_client, s3_bucket, "p")
    with caplog.at_level(logging.WARNING):
        assert [info.key for info in store.list()] == ["raw/a.csv"]
    assert "raw//b.csv" in caplog.text
    assert "raw/../c.csv" in caplog.text


def test_two_prefixes_of_one_bucket_do_not_see_each_other(
    s3_client: "S3Client", s3_bucket: str
) -> None:
    one, two = (S3Store(s3_client, s3_bucket, prefix) for prefix in ("/a/", "ab"))
    one.put("key", b"1")
    two.put("key", b"2")
    assert [info.key for info in one.list()] == ["key"]
    assert one.get("key").body == b"1"
    assert one.url_of("key") == f"s3://{s3_bucket}/a/key"
    assert [info.key for info in S3Store(s3_client, s3_bucket).list()] == ["a/key", "ab/key"]


def test_the_prefix_counts_towards_the_longest_key(s3_client: "S3Client", s3_bucket: str) -> None:
    store = S3Store(s3_client, s3_bucket, "p" * 24)
    store.put("k" * 999, b"x")
    with pytest.raises(InvalidKey, match="1025 bytes"):
        store.put("k" * 1000, b"x")


def test_large_files_go_in_parts(s3_client: "S3Client", s3_bucket: str, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(17 * 1024 * 1024))
    etag = S3Store(s3_client, s3_bucket).upload(tmp_path / "large", "large")
    assert etag.strip('"').endswith("-3")


def test_an_object_removed_between_listing_and_reading_is_not_found(
    s3_client: "S3Client", s3_bucket: str
) -> None:
    store = S3Store(s3_client, s3_bucket)
    store.put("a", b"x")
    listed = list(store.list())
    store.delete("a")
    with pytest.raises(ObjectNotFound, match=f"s3://{s3_bucket}/a at http"):
        store.get(listed[0].key)


class KeepsSome:
    """A client whose server removes what it is asked to, but for objects under lock."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        names = [entry["Key"] for entry in Delete["Objects"]]
        self.batches.append(len(names))
        locked = [name for name in names if name.endswith("/7")]
        said = {"Code": "AccessDenied", "Message": "under lock"}
        return {"Errors": [{"Key": name, **said} for name in locked]} if locked else {}


def test_many_are_deleted_a_thousand_a_request_and_one_that_stays_is_named() -> None:
    client = KeepsSome()
    store = S3Store(client, "bucket", "p")
    store.delete_many(f"x/{number}" for number in range(100, 2600))
    assert client.batches == [1000, 1000, 500]
    with pytest.raises(StoreUnavailable, match=r"'p/x/7' .* was not removed \(AccessDenied"):
        store.delete_many(f"x/{number}" for number in range(1500))
    assert client.batches[3:] == [1000, 500], "the others are tried all the same"
