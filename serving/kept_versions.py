"""The versions that are kept in the store, remembered so that they are known without it as well.

Manifests never change, so each is read once. A listing is good for half a minute; when the store
cannot be listed, the last listing is shown and says why it is old.
"""

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from scalecast_assets.contract.bundle import Manifest, read_manifest
from scalecast_assets.contract.layout import MANIFEST, MODELS_PREFIX, is_version, version_order
from scalecast_assets.contract.store import ObjectStore, StoreError
from scalecast_assets.contract.strict_json import BundleError

logger = logging.getLogger(__name__)

FRESH_SECONDS: Final = 30.0


class Kept(NamedTuple):
    """What is known of the kept versions, newest first."""

    manifests: list[Manifest]
    as_of: datetime | None
    stale_because: str | None


class KeptVersions:
    """Lists the bundles of a store; one thread at a time asks it, the others take what is known.

    So does the first: while a bucket hangs, whoever waited for it would hold a thread of forecasts.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._manifests: dict[str, Manifest] = {}
        self._as_of: datetime | None = None
        self._problem: str | None = None
        self._listed_at = float("-inf")
        self._lock = threading.Lock()

    def known(self, served: Manifest | None) -> Kept:
        """Return what is kept; ``served`` is shown whether the store can be asked or not."""
        if self._is_old() and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        known = {**self._manifests, **({served.version: served} if served else {})}
        newest_first = sorted(known.values(), key=lambda m: version_order(m.version), reverse=True)
        return Kept(newest_first, self._as_of, self._problem)

    def _is_old(self) -> bool:
        return time.monotonic() - self._listed_at > FRESH_SECONDS

    def _look(self) -> None:
        try:
            found = {
                version: self._manifests.get(version) or self._read(version)
                for version in self._complete()
            }
        except StoreError as error:
            self._problem = f"the store cannot be listed: {error}"
            logger.warning("kept versions: %s", self._problem)
        else:
            self._manifests = {version: one for version, one in found.items() if one is not None}
            self._as_of, self._problem = datetime.now(UTC), None
        self._listed_at = time.monotonic()

    def _complete(self) -> list[str]:
        """Return the versions that have a manifest: the others are gaps."""
        found = []
        for entry in self._store.list(MODELS_PREFIX):
            version, _, name = entry.key.removeprefix(MODELS_PREFIX).partition("/")
            if name == MANIFEST and is_version(version):
                found.append(version)
        return found

    def _read(self, version: str) -> Manifest | None:
        try:
            return read_manifest(self._store, version)[0]
        except BundleError as error:
            logger.warning("kept versions: %s is left out: %s", version, error)
            return None


def mae_of(manifest: Manifest) -> float | None:
    """Return the error that the version was promoted with, if its leaderboard has it."""
    row: dict[str, Any] = next(
        (row for row in manifest.leaderboard if row.get("name") == manifest.candidate), {}
    )
    found = row.get("mae")
    return float(found) if isinstance(found, int | float) else None
