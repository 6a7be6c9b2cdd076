"""Makes the S3 client of the sidecar and opens the store named in its settings.

boto3 is imported only for ``s3://``; region, endpoint and credentials are the standard ``AWS_…``
names. What a store can do, and how its URL reads, is in ``contract/store.py``.
"""

from typing import Any, Final

from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.contract.store import open_store as open_url
from serving.settings import Settings, SettingsError

CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 20


def open_store(settings: Settings) -> ObjectStore:
    """Return the store at ``settings.store_url``; nothing is contacted yet.

    Raises:
        SettingsError: the URL names no store.
    """

    def client() -> Any:
        import boto3
        from botocore.config import Config

        patience = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 2},
        )
        return boto3.client(
            "s3",
            region_name=settings.aws_region,
            endpoint_url=settings.aws_endpoint_url,
            config=patience,
        )

    try:
        return open_url(settings.store_url, client)
    except ValueError as error:
        raise SettingsError(f"SCALECAST_STORE_URL: {error}") from None
