"""The sidecar's settings, a small subset of the pipeline's, read from the environment.

The pipeline's own are in ``scalecast_assets/settings.py``. Names that only the pipeline knows are
left alone here: both read one environment. Credentials are boto3's business (``AWS_…``). What a
limit does is in ``docs/serving.md``.
"""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dotenv import load_dotenv

ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


class SettingsError(ValueError):
    """A setting cannot be used; the message names it, what was found and what was expected."""


@dataclass(frozen=True)
class Limits:
    """How much one caller, and all of them together, may ask of the process."""

    body_bytes: int = 65_536
    """A larger request body is refused with 413."""
    batch_bytes: int = 8 << 20
    """The same where many rows are sent at once."""
    body_seconds: float = 20.0
    """A body that takes longer to arrive is refused with 408."""
    request_seconds: float = 60.0
    """A request that takes longer is answered with 503, or cut off in the middle of a stream."""
    requests: int = 256
    """More requests at once are answered with 503 and ``Retry-After``."""
    batches: int = 8
    """The same for requests that may keep a processor busy for seconds."""


@dataclass(frozen=True)
class Settings:
    """Where the model is, where to listen, who may ask, how often to look."""

    store_url: str
    """``s3://bucket/prefix`` or ``file:///folder``."""
    host: str = "127.0.0.1"
    port: int = 8000
    poll_seconds: float = 10.0
    """Between two looks at the pointers of model and state."""
    kept_folder: Path | None = None
    """Where the last good model and history are kept for a start without the store."""
    limits: Limits = field(default_factory=Limits)
    api_keys: str = field(default="", repr=False)
    """``name:sha256,…`` of the keys that are let in; see ``keys.py``."""
    api_keys_file: Path | None = None
    """One ``name:sha256`` a line; read anew whenever it changes."""
    metrics_keys: str = field(default="", repr=False)
    """``name:sha256,…`` of keys that are let in at ``/metrics`` alone."""
    cors_origins: tuple[str, ...] = ()
    """Web pages of these origins may ask from a browser; none by default."""
    log_level: str = "info"
    log_format: str = "auto"
    """`json`, `text`, or `auto`: text if standard error is a terminal."""
    log_requests: bool = False
    """Log every request, not only those that failed or were slow."""
    aws_region: str | None = None
    aws_endpoint_url: str | None = None

    @classmethod
    def load(cls) -> "Settings":
        """Read the process's environment; a ``.env`` beside fills what is not set there."""
        load_dotenv(Path.cwd() / ".env", override=False)
        return cls.from_environment(os.environ)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings from ``environment``; an empty variable is one that is not set.

        Raises:
            SettingsError: naming the variable that is malformed.
        """
        for name in ("SCALECAST_HOME", "SCALECAST_STORE_URL"):
            if environment.get(name) == "":
                # Whoever lost it shall not wait for a model in a folder that nobody writes.
                raise SettingsError(f"{name}: is empty; name a place, or unset it for the default")
        environment = {name: value for name, value in environment.items() if value}
        home = Path(environment.get("SCALECAST_HOME", ".scalecast")).expanduser().absolute()
        keys_file = environment.get("SCALECAST_API_KEYS_FILE")
        store_url = environment.get("SCALECAST_STORE_URL") or (home / "store").as_uri()
        return cls(
            store_url=store_url,
            kept_folder=_kept_folder(environment.get("SCALECAST_SERVING_CACHE"), store_url, home),
            host=environment.get("SCALECAST_API_HOST", cls.host),
            port=_whole(environment, "SCALECAST_API_PORT", cls.port, 0, 65_535),
            poll_seconds=_number(
                environment, "SCALECAST_POLL_SECONDS", cls.poll_seconds, 0.05, 3_600
            ),
            limits=_limits(environment),
            api_keys=environment.get("SCALECAST_API_KEYS", ""),
            api_keys_file=Path(keys_file).expanduser().absolute() if keys_file else None,
            metrics_keys=environment.get("SCALECAST_METRICS_KEYS", ""),
            cors_origins=_origins(environment.get("SCALECAST_CORS_ORIGINS", "")),
            log_level=_log_level(environment.get("SCALECAST_LOG_LEVEL", cls.log_level)),
            log_format=_one_of(environment, "SCALECAST_LOG_FORMAT", ("auto", "json", "text")),
            log_requests=_one_of(environment, "SCALECAST_LOG_REQUESTS", ("false", "true"))
            == "true",
            aws_region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
            aws_endpoint_url=environment.get("AWS_ENDPOINT_URL"),
        )


OWN_VARIABLES: Final[dict[str, tuple[object, str]]] = {
    "SCALECAST_API_HOST": (
        Settings.host,
        "Address that the prediction API listens on; 0.0.0.0: on all of them.",
    ),
    "SCALECAST_POLL_SECONDS": (
        Settings.poll_seconds,
        "Seconds between two looks of the API for another model or state (0.05 to 3600).",
    ),
    "SCALECAST_SERVING_CACHE": (
        "unset",
        "Folder in which the API keeps the last good model and history, to start without the "
        "store; unset: `serving-cache` in the home if the store is a bucket; off: nowhere.",
    ),
    "SCALECAST_API_KEYS": (
        "unset",
        "Who may ask the API, as `name:sha256,…`; `scalecast api-key` makes them. Unset: everyone.",
    ),
    "SCALECAST_API_KEYS_FILE": (
        "unset",
        "File with one `name:sha256` a line; keys added or removed there count within a second.",
    ),
    "SCALECAST_METRICS_KEYS": (
        "unset",
        "Who may read /metrics and nothing else once the API asks for keys, as `name:sha256,…`.",
    ),
    "SCALECAST_CORS_ORIGINS": (
        "unset",
        "Origins whose pages may ask the API from a browser, as `https://a.example,…`.",
    ),
    "SCALECAST_MAX_BODY_BYTES": (
        Limits.body_bytes,
        "The API refuses larger request bodies with 413 (1024 to 1073741824).",
    ),
    "SCALECAST_MAX_BATCH_BYTES": (
        Limits.batch_bytes,
        "The same where many rows are sent at once (1024 to 1073741824).",
    ),
    "SCALECAST_BODY_SECONDS": (
        Limits.body_seconds,
        "A request body that takes longer to arrive is refused with 408 (0.1 to 3600).",
    ),
    "SCALECAST_REQUEST_SECONDS": (
        Limits.request_seconds,
        "A request that takes longer than this is given up (0.1 to 3600).",
    ),
    "SCALECAST_MAX_REQUESTS": (
        Limits.requests,
        "More requests at once get 503 with Retry-After (1 to 100000).",
    ),
    "SCALECAST_MAX_BATCHES": (
        Limits.batches,
        "More batches and forecasts of many days at once get 503 with Retry-After (1 to 1000).",
    ),
    "SCALECAST_LOG_LEVEL": (
        Settings.log_level,
        "How much the API logs: debug, info, warning, error or critical.",
    ),
    "SCALECAST_LOG_FORMAT": (
        Settings.log_format,
        "How the API logs: json (one object a line), text, or auto: text on a terminal, else json.",
    ),
    "SCALECAST_LOG_REQUESTS": (
        "false",
        "true: the API logs every request, not only those that failed or took over a second.",
    ),
}
"""What only the sidecar reads: default and description, for the table of all settings."""


def _kept_folder(text: str | None, store_url: str, home: Path) -> Path | None:
    """Return the folder; by default none where the store is a folder of this machine itself."""
    if text:
        return None if text == "off" else Path(text).expanduser().absolute()
    return None if store_url.lower().startswith("file:") else home / "serving-cache"


def _limits(environment: Mapping[str, str]) -> Limits:
    return Limits(
        body_bytes=_whole(
            environment, "SCALECAST_MAX_BODY_BYTES", Limits.body_bytes, 1_024, 1 << 30
        ),
        batch_bytes=_whole(
            environment, "SCALECAST_MAX_BATCH_BYTES", Limits.batch_bytes, 1_024, 1 << 30
        ),
        body_seconds=_number(
            environment, "SCALECAST_BODY_SECONDS", Limits.body_seconds, 0.1, 3_600
        ),
        request_seconds=_number(
            environment, "SCALECAST_REQUEST_SECONDS", Limits.request_seconds, 0.1, 3_600
        ),
        requests=_whole(environment, "SCALECAST_MAX_REQUESTS", Limits.requests, 1, 100_000),
        batches=_whole(environment, "SCALECAST_MAX_BATCHES", Limits.batches, 1, 1_000),
    )


def _number(
    environment: Mapping[str, str], name: str, default: float, least: float, most: float
) -> float:
    text = environment.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise SettingsError(f"{name}: expected a number from {least:g} to {most:g}, found {text!r}")
    return number


def _whole(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environment.get(name)
    if text is None:
        return default
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise SettingsError(
            f"{name}: expected a whole number from {least:g} to {most:g}, found {text!r}"
        )
    return number


def _log_level(text: str) -> str:
    if text.upper() not in logging.getLevelNamesMapping():
        raise SettingsError(
            f"SCALECAST_LOG_LEVEL: expected debug, info, warning, error or critical, found {text!r}"
        )
    return text.lower()


def _one_of(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """Return the setting, by default the first of ``choices``."""
    text = environment.get(name, choices[0]).lower()
    if text not in choices:
        raise SettingsError(f"{name}: expected {' or '.join(choices)}, found {environment[name]!r}")
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(filter(None, (part.strip() for part in text.split(","))))
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise SettingsError(
                "SCALECAST_CORS_ORIGINS: expected origins such as https://shop.example, separated "
                f"by commas and without a path or *, found {origin!r}"
            )
    return origins
