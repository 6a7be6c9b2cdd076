"""Where everything lies in the object store: the one place where its keys are spelled.

``raw/`` is the users'; everything else is written by ScaleCast, and what has a version or a sha256
in its key is never changed.
"""

import re
from typing import Final

RAW_PREFIX: Final = "raw/"
MODELS_PREFIX: Final = "models/"
FORECASTS_PREFIX: Final = "forecasts/"
ARCHIVE_PREFIX: Final = "archive/"
MADE_PREFIXES: Final = (
    "candidates/", FORECASTS_PREFIX, MODELS_PREFIX, "quarantine/", "serving/", "state/",
    "training_sets/",
)  # fmt: skip
"""What is made of the files; those themselves are in ``raw/`` and ``archive/``."""

MODEL_POINTER: Final = "serving/model.json"
STATE_POINTER: Final = "serving/state.json"

MANIFEST: Final = "manifest.json"
CLAIM: Final = "claim.json"
MODEL: Final = "model.onnx"
ENCODERS: Final = "encoders.json"
INTERVALS: Final = "intervals.json"
REPORT: Final = "report.html"
NATIVE_MODEL: Final = "demand_model.pkl"
NATIVE_ENCODERS: Final = "encoders.pkl"
FORECASTS_PARQUET: Final = "forecasts.parquet"
FORECASTS_CSV: Final = "forecasts.csv.gz"

FIRST_VERSION: Final = "1.0.0"

MAX_NAME_BYTES: Final = 100
"""UTF-8 bytes that a user's file name may take up in a key of ours: with what else the key has, no
store finds it too long (255 bytes a part on a disk, 1,024 in all on S3)."""

_VERSION: Final = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def is_version(text: str) -> bool:
    """Tell whether the text reads like ``1.0.0``."""
    return _VERSION.fullmatch(text) is not None


def version_order(version: str) -> tuple[int, int, int]:
    """Return the key to sort versions by: 1.10.0 comes after 1.9.0."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"version {version[:100]!r} does not read like '1.0.0'")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)


def next_version(highest: str | None) -> str:
    """Return the version after the highest one: ``1.3.0`` → ``1.4.0``; the first is ``1.0.0``."""
    if highest is None:
        return FIRST_VERSION
    major, minor, _ = version_order(highest)
    return f"{major}.{minor + 1}.0"


def model_key(version: str, name: str) -> str:
    """``models/<version>/<name>``: a file of a bundle."""
    version_order(version)
    return f"{MODELS_PREFIX}{version}/{name}"


def state_key(sha256: str) -> str:
    """``state/<sha256>/state.npz``: the recent history of every series."""
    return f"state/{check_sha256(sha256)}/state.npz"


def archive_key(sha256: str) -> str:
    """``archive/sha256/<aa>/<sha256>``: the bytes of an accepted raw file."""
    return f"{ARCHIVE_PREFIX}sha256/{check_sha256(sha256)[:2]}/{sha256}"


def forecast_key(origin: str, name: str) -> str:
    """``forecasts/<origin>/<name>``: the coming days' forecasts; ``origin`` is an ISO day."""
    return f"{FORECASTS_PREFIX}{origin}/{name}"


def quarantine_key(file: str, name: str) -> str:
    """``quarantine/<file>/<name>``: a refused file or its report; ``file`` without ``raw/``."""
    return f"quarantine/{file.removeprefix(RAW_PREFIX)}/{name}"


def shortened(name: str) -> str:
    """Return the name, or as many of its first characters as ``MAX_NAME_BYTES`` hold."""
    return name.encode()[:MAX_NAME_BYTES].decode(errors="ignore")


def check_sha256(text: str) -> str:
    """Return the text if it is a sha256 in lower-case hex; else raises ``ValueError``."""
    if not _SHA256.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no sha256; expected 64 lower-case hex digits")
    return text
