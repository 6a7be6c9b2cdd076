"""The object store as a Dagster resource: settings in, ``ObjectStore`` out.

What a store does is in ``scalecast_assets.contract.store``. Credentials are no fields here: boto3
finds them by its own standard chain (``AWS_*``, profile, role), so that none is ever shown.
"""

from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from dagster import ConfigurableResource
from dagster_aws.s3 import S3Resource
from pydantic import Field, PrivateAttr

from scalecast_assets.contract.store import ObjectStore, open_store

CONNECT_TIMEOUT_SECONDS: Final = 5
READ_TIMEOUT_SECONDS: Final = 60
MAX_ATTEMPTS: Final = 4
"""With back-off between them; an endpoint that swallows packets is given up after about 30 s."""


class BoundedS3Resource(S3Resource):
    """dagster-aws' S3 with time-outs of ours: it has no setting for them (botocore waits 60 s)."""

    def get_client(self) -> Any:
        """Return a thread-safe S3 client."""
        session = boto3.session.Session(profile_name=self.profile_name)
        return session.client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            use_ssl=self.use_ssl,
            verify=self.verify,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
                retries={"total_max_attempts": self.max_attempts, "mode": "standard"},
                max_pool_connections=16,
                # Many S3-compatible services refuse the checksum trailers that AWS likes.
                request_checksum_calculation=(
                    "when_required" if self.endpoint_url else "when_supported"
                ),
            ),
        )


class ObjectStoreResource(ConfigurableResource[Any]):
    """Where files, snapshots, bundles and pointers are kept; nothing connects until it is used."""

    url: str = Field(description="file:///absolute/directory or s3://bucket/prefix")
    endpoint_url: str | None = Field(
        default=None, description="address of an S3-compatible service; empty: AWS itself"
    )
    region_name: str | None = Field(default=None, description="AWS region of the bucket")
    profile_name: str | None = Field(default=None, description="profile in the AWS configuration")
    max_attempts: int = Field(default=MAX_ATTEMPTS, ge=1, le=20)

    _store: ObjectStore | None = PrivateAttr(default=None)

    def store(self) -> ObjectStore:
        """Return the store; raises ``ValueError`` for a URL that names none."""
        if self.endpoint_url and "@" in urlsplit(self.endpoint_url).netloc:
            raise ValueError(
                "the S3 endpoint URL holds a user name or password; give credentials as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if self._store is None:
            self._store = open_store(self.url, self._s3().get_client)
        return self._store

    def client(self) -> Any:
        """Return a client of S3, for what concerns a bucket as a whole."""
        return self._s3().get_client()

    def _s3(self) -> S3Resource:
        return BoundedS3Resource(
            endpoint_url=self.endpoint_url,
            region_name=self.region_name,
            profile_name=self.profile_name,
            max_attempts=self.max_attempts,
        )
