"""An object store in an S3 bucket, or in anything that speaks S3 with conditional writes.

The boto3 client is given; building one, with its time-outs and retries, is the caller's.
"""

import io
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO, Final, cast

from scalecast_assets.contract.objects import (
    Blob,
    InvalidKey,
    ObjectInfo,
    ObjectNotFound,
    PreconditionFailed,
    StoreError,
    StoreUnavailable,
    check_key,
    check_prefix,
    read_whole,
)

_BODILESS: Final = {"404", "NotFound"}
_GONE: Final = {"NoSuchKey", *_BODILESS}
_LOST: Final = {
    "PreconditionFailed",
    "412",
    "ConditionalRequestConflict",
    "OperationAborted",
    "409",
}
_REFUSED: Final = {
    "AccessDenied",
    "403",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
}

_BUFFER_BYTES: Final = 1 << 20
_DELETED_AT_ONCE: Final = 1000

_log = logging.getLogger(__name__)


class S3Store:
    """``ObjectStore`` below ``s3://bucket/prefix``; ``client`` is a boto3 S3 client."""

    whole_on_arrival = True

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client = client
        self.bucket = bucket
        self.prefix = check_key(prefix.strip("/")) + "/" if prefix.strip("/") else ""

    def __repr__(self) -> str:
        return f"S3Store('s3://{self.bucket}/{self.prefix}')"

    def get(self, key: str, max_bytes: int | None = None) -> Blob:
        """Return the whole object; raises ``ObjectNotFound`` or ``ObjectTooLarge``."""
        with self._translated(key):
            answer = self._client.get_object(**self._at(key))
            return self._blob(key, answer, max_bytes)

    def get_if_changed(self, key: str, etag: str, max_bytes: int | None = None) -> Blob | None:
        """As ``get``; ``None`` if the object still has this etag (one request, no body)."""
        with self._translated(key):
            try:
                answer = self._client.get_object(**self._at(key), IfNoneMatch=etag)
            except Exception as error:
                if _code_of(error) in {"304", "NotModified"}:
                    return None
                raise
            return self._blob(key, answer, max_bytes)

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """Stream the object in one request."""
        with self._translated(key):
            body = self._client.get_object(**self._at(key))["Body"]
        with self._stream(key, body, _BUFFER_BYTES) as file:
            yield file

    def put(self, key: str, data: bytes) -> str:
        """Write or overwrite the object and return its etag."""
        return self._put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> str:
        """Create the object; raises ``PreconditionFailed`` if the key is taken."""
        return self._put(key, data, IfNoneMatch="*")

    def compare_and_swap(self, key: str, data: bytes, etag: str) -> str:
        """Overwrite the object only if it has this etag; else raises ``PreconditionFailed``."""
        try:
            return self._put(key, data, IfMatch=etag)
        except ObjectNotFound as error:
            raise PreconditionFailed(f"{error}; expected etag {etag}") from error

    def upload(self, path: str | os.PathLike[str], key: str) -> str:
        """Write a local file of any size (in parts when large) and return its etag."""
        with self._translated(key):
            self._client.upload_file(os.fspath(path), self.bucket, self._name(key))
            return str(self._client.head_object(**self._at(key))["ETag"])

    def download(self, key: str, path: str | os.PathLike[str]) -> None:
        """Write the object to a local file, which appears only when it is whole."""
        with self._translated(key):
            self._client.download_file(self.bucket, self._name(key), os.fspath(path))

    def copy(self, src: str, dst: str, *, etag: str | None = None) -> None:
        """Copy inside S3; with ``etag`` only that content, else ``PreconditionFailed``."""
        condition = {} if etag is None else {"CopySourceIfMatch": etag}
        with self._translated(src):
            self._client.copy(
                self._at(src), self.bucket, self._name(dst), ExtraArgs=condition or None
            )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with ``prefix``, in the byte order of keys."""
        start = self.prefix + check_prefix(prefix)
        token: dict[str, str] = {}
        while True:
            page = self._page(prefix, Prefix=start, **token)
            for entry in page.get("Contents", ()):
                if info := self._info(entry):
                    yield info
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def exists(self, key: str) -> bool:
        """Tell whether there is an object under the key."""
        name = self._name(key)  # a HEAD could not tell a missing object from a missing bucket
        page = self._page(key, Prefix=name, MaxKeys=1)
        return any(entry["Key"] == name for entry in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        """Remove the object; that it is not there is no error."""
        with self._translated(key):
            self._client.delete_object(**self._at(key))

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove the objects, 1,000 a request; what fails is raised when all were tried."""
        failed: StoreError | None = None
        rest = iter(keys)
        while batch := list(islice(rest, _DELETED_AT_ONCE)):
            objects = [{"Key": self._name(key)} for key in batch]
            with self._translated(batch[0]):
                answer = self._client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True}
                )
            for error in answer.get("Errors", ()):
                failed = failed or StoreUnavailable(
                    f"object {error['Key']!r} in {self} was not removed ({error['Code']}: "
                    f"{error['Message']}); check that the AWS credentials may delete objects"
                )
        if failed:
            raise failed

    def url_of(self, key: str) -> str:
        """Return the ``s3://`` address of the object."""
        return f"s3://{self.bucket}/{self._name(key)}"

    def _name(self, key: str) -> str:
        return check_key(self.prefix + check_key(key))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._name(key)}

    def _blob(self, key: str, answer: dict[str, Any], max_bytes: int | None) -> Blob:
        buffer_bytes = _BUFFER_BYTES if max_bytes is None else max_bytes + 1
        with self._stream(key, answer["Body"], buffer_bytes) as file:
            return Blob(read_whole(file, key, max_bytes), answer["ETag"])

    def _stream(self, key: str, body: Any, buffer_bytes: int) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Stream(self, key, body), buffer_bytes))

    def _put(self, key: str, data: bytes, **condition: str) -> str:
        with self._translated(key):
            answer = self._client.put_object(
                **self._at(key), **_type_of(key), Body=data, **condition
            )
            return str(answer["ETag"])

    def _page(self, prefix: str, **query: Any) -> dict[str, Any]:
        with self._translated(prefix):
            page: dict[str, Any] = self._client.list_objects_v2(Bucket=self.bucket, **query)
            page["IsTruncated"]  # every answer of S3 has it, a web page or a proxy's does not
        return page

    def _info(self, entry: dict[str, Any]) -> ObjectInfo | None:
        key = entry["Key"].removeprefix(self.prefix)
        if key.endswith("/") or not key:  # "folders" that consoles create are empty objects
            return None
        try:
            check_key(key)
        except InvalidKey as error:
            _log.warning("%s: not listed: %s", self, error)
            return None
        return ObjectInfo(key, entry["Size"], entry["ETag"], entry["LastModified"])

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Turn what botocore and the network raise into our errors, and leave the rest alone."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            ours = self._translate(key, error)
            if ours is None:
                raise
            raise ours from error

    def _translate(self, key: str, error: Exception) -> StoreError | None:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        where = f"s3://{self.bucket}/{self.prefix}{key} at {self._endpoint()}"
        cause = error.__cause__ or error.__context__
        if isinstance(error, Boto3Error) and isinstance(cause, ClientError | BotoCoreError):
            error = cause
        if isinstance(error, ClientError):
            return self._translate_answer(where, error)
        if isinstance(error, BotoCoreError | Boto3Error | HTTPError | ConnectionError):
            return StoreUnavailable(
                f"{where} cannot be reached ({type(error).__name__}: {_redact(error)}); check that "
                "AWS_ENDPOINT_URL, AWS_REGION and the AWS credentials are set right and that the "
                "service is up"
            )
        if isinstance(error, KeyError):
            return StoreUnavailable(
                f"{where} gave an answer that lacks {error}; check that AWS_ENDPOINT_URL names an "
                "S3 service"
            )
        return None

    def _translate_answer(self, where: str, error: Any) -> StoreError:
        code, status = _code_of(error), _status_of(error)
        said = f"{code}: {error.response.get('Error', {}).get('Message') or 'no message'}"
        if code == "NoSuchBucket" or (code in _BODILESS and not self._has_bucket()):
            return StoreUnavailable(
                f"bucket {self.bucket!r} does not exist at {self._endpoint()}; create it, or "
                "correct SCALECAST_STORE_URL"
            )
        if code in _GONE:
            return ObjectNotFound(f"no object {where}")
        if code in _LOST or status in {409, 412}:
            return PreconditionFailed(f"{where} was written by somebody else first ({said})")
        if code in _REFUSED or status in {401, 403}:
            return StoreUnavailable(
                f"{where} refuses us ({said}); check the AWS credentials and that they may list "
                "the bucket and read and write its objects"
            )
        if code == "NotImplemented" or status == 501:
            return StoreUnavailable(
                f"{where} does not implement what we need ({said}); ScaleCast needs S3 with "
                "If-Match and If-None-Match on writes"
            )
        return StoreUnavailable(f"{where} answered {status} ({said}); try again later")

    def _has_bucket(self) -> bool:
        """After a 404 without a body (HEAD): is at least the bucket there?"""
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except Exception as error:
            return _status_of(error) != 404
        return True

    def _endpoint(self) -> str:
        """The service's address, without any user name or password that stands in it."""
        return _redact(self._client.meta.endpoint_url)


class _Stream(io.RawIOBase):
    """The body of an answer as a raw stream, with our errors."""

    def __init__(self, store: S3Store, key: str, body: Any) -> None:
        self._store, self._key, self._body = store, key, body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._store._translated(self._key):
            data: bytes = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        with self._store._translated(self._key):
            data: bytes = self._body.read()
        return data

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def _redact(text: object) -> str:
    return re.sub(r"(?<=//)[^/@\s]*@", "", str(text))


def _code_of(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _status_of(error: Exception) -> int:
    response = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _type_of(key: str) -> dict[str, str]:
    """Pages are opened by whoever follows a link to them; anything else is downloaded."""
    return {"ContentType": "text/html; charset=utf-8"} if key.endswith(".html") else {}
