"""Resources made from the settings: the one place where an address becomes a client."""

import os
from urllib.parse import urlsplit

from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.resources.alerts import AlertChannels
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.settings import Settings, SettingsError, variable


def store_resource(settings: Settings) -> ObjectStoreResource:
    """Return the store resource; ``AWS_ENDPOINT_URL`` and ``AWS_REGION`` are taken over.

    The UI shows them, so raises SettingsError for an endpoint with credentials in it.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if "@" in urlsplit(endpoint or "").netloc:
        raise SettingsError(
            "AWS_ENDPOINT_URL: holds credentials; give AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
        )
    return ObjectStoreResource(
        url=settings.resolved_store_url,
        endpoint_url=endpoint,
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
    )


def store_of(settings: Settings) -> ObjectStore:
    """Open the store that the settings name; raises SettingsError for a URL that names none."""
    try:
        return store_resource(settings).store()
    except ValueError as error:
        raise SettingsError(f"{variable('store_url')}: {error}") from None


def alert_channels(settings: Settings) -> AlertChannels:
    """Open the channels that the settings name; raises SettingsError, which hides the address."""
    given = {
        name: secret.get_secret_value() if (secret := getattr(settings, f"alert_{name}")) else None
        for name in ("webhook_url", "slack_url", "smtp_url")
    }
    try:
        return AlertChannels.from_urls(**given)
    except ValueError as error:
        name, _, problem = str(error).partition(": ")
        raise SettingsError(f"{variable(f'alert_{name}')}: {problem}") from None
