"""The sidecar's settings, a small subset of the pipeline's, read from the environment.

The pipeline's own are in ``scalecast_assets/settings.py``. Names that only the pipeline knows are
left alone here: both read one environment. Credentials are boto3's business (``AWS_…``).
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import load_dotenv


class SettingsError(ValueError):
    """A setting cannot be used; the message names it, what was found and what was expected."""


@dataclass(frozen=True)
class Settings:
    """Where the model is, where to listen, how often to look."""

    store_url: str
    """``s3://bucket/prefix`` or ``file:///folder``."""
    host: str = "127.0.0.1"
    port: int = 8000
    poll_seconds: float = 10.0
    """Between two looks at the pointers of model and state."""
    max_body_bytes: int = 65_536
    """A larger request body is refused with 413."""
    log_level: str = "info"
    aws_region: str | None = None
    aws_endpoint_url: str | None = None

    @classmethod
    def load(cls) -> "Settings":
        """Read the process's environment; a ``.env`` beside fills what is not set there."""
        load_dotenv(Path.cwd() / ".env", override=False)
        return cls.from_environment(os.environ)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings from ``environment``.

        Raises:
            SettingsError: naming the variable that is malformed.
        """
        home = Path(environment.get("SCALECAST_HOME", ".scalecast")).expanduser().absolute()
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        return cls(
            store_url=environment.get("SCALECAST_STORE_URL") or (home / "store").as_uri(),
            host=environment.get("SCALECAST_API_HOST") or cls.host,
            port=int(_number(environment, "SCALECAST_API_PORT", cls.port, 0, 65_535, whole=True)),
            poll_seconds=_number(
                environment, "SCALECAST_POLL_SECONDS", cls.poll_seconds, 0.05, 3_600
            ),
            max_body_bytes=int(
                _number(
                    environment,
                    "SCALECAST_MAX_BODY_BYTES",
                    cls.max_body_bytes,
                    1_024,
                    1 << 30,
                    whole=True,
                )
            ),
            log_level=_log_level(environment.get("SCALECAST_LOG_LEVEL", cls.log_level)),
            aws_region=region,
            aws_endpoint_url=environment.get("AWS_ENDPOINT_URL") or None,
        )


OWN_VARIABLES: Final = {
    "SCALECAST_API_HOST": (
        Settings.host,
        "Address that the prediction API listens on; 0.0.0.0: on all of them.",
    ),
    "SCALECAST_POLL_SECONDS": (
        Settings.poll_seconds,
        "Seconds between two looks of the API for another model or state (0.05 to 3600).",
    ),
    "SCALECAST_MAX_BODY_BYTES": (
        Settings.max_body_bytes,
        "The API refuses larger request bodies with 413 (1024 to 1073741824).",
    ),
    "SCALECAST_LOG_LEVEL": (
        Settings.log_level,
        "How much the API logs: debug, info, warning, error or critical.",
    ),
}
"""What only the sidecar reads: default and description, for the table of all settings."""


def _number(
    environment: Mapping[str, str],
    name: str,
    default: float,
    least: float,
    most: float,
    *,
    whole: bool = False,
) -> float:
    text = environment.get(name)
    if text is None:
        return default
    kind = "a whole number" if whole else "a number"
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise SettingsError(f"{name}: expected {kind} from {least:g} to {most:g}, found {text!r}")
    return number


def _log_level(text: str) -> str:
    if text.upper() not in logging.getLevelNamesMapping():
        raise SettingsError(
            f"SCALECAST_LOG_LEVEL: expected debug, info, warning, error or critical, found {text!r}"
        )
    return text.lower()
