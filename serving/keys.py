"""API keys: made, kept as hashes, looked up in constant time, rotated without a restart.

A key is 32 random bytes, so a plain sha256 of it cannot be guessed back; the settings hold only
that. Where a request carries its key is in ``gate.py``. Only the standard library here: the
command line makes keys with this.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.settings import SettingsError

logger = logging.getLogger(__name__)

PREFIX: Final = "scalecast_"
"""By which a key that leaked is recognised for what it is."""

LOOK_SECONDS: Final = 1.0
"""Between two looks at the file of keys."""

MAX_FILE_BYTES: Final = 1 << 20

_LINE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class ApiKey:
    """Whose key it is, and the sha256 of it."""

    name: str
    sha256: bytes


def new_key(name: str) -> tuple[str, str]:
    """Return a new key and the line that lets it in; the key itself is kept nowhere.

    Raises:
        SettingsError: the name could not be read back from such a line.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if not _LINE.fullmatch(line):
        raise SettingsError(
            f"--name: expected 1 to 64 letters, digits, dots, dashes or underscores, found {name!r}"
        )
    return key, line


def parse_keys(text: str, where: str) -> tuple[ApiKey, ...]:
    """Read ``name:sha256`` lines, ``#`` comments between them.

    Raises:
        SettingsError: naming ``where`` and the entry, but never repeating what may be a key.
    """
    keys = []
    for number, entry in enumerate(text.splitlines(), 1):
        if not entry.strip() or entry.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(entry.strip())
        if match is None:
            raise SettingsError(
                f"{where}: entry {number}: expected name:sha256 with 64 lower-case hex digits, "
                f"found {len(entry.strip())} other characters; `scalecast api-key` prints such a "
                "line (a key itself does not belong here)"
            )
        keys.append(ApiKey(match[1], bytes.fromhex(match[2])))
    return tuple(keys)


class KeyRing:
    """The keys that are let in now: those of the settings and those of the file together."""

    def __init__(self, settings_text: str, file: Path | None, of_metrics: str = "") -> None:
        """Read both, and those that may read ``/metrics`` alone.

        Raises:
            SettingsError: an entry is malformed, or the file cannot be read.
        """
        self._fixed = parse_keys(settings_text.replace(",", "\n"), "SCALECAST_API_KEYS")
        self._of_metrics = parse_keys(of_metrics.replace(",", "\n"), "SCALECAST_METRICS_KEYS")
        self._file = file
        self._of_file: tuple[ApiKey, ...] = ()
        self._seen: tuple[int, int, int] | None = None
        self._look_at = 0.0
        self._last_problem: str | None = None
        self.is_required = bool(self._fixed) or file is not None
        """Whether a key is asked for; with an empty file nobody is let in, not everybody."""
        if file is not None:
            try:
                self._read(file)
            except OSError as error:
                raise SettingsError(
                    f"SCALECAST_API_KEYS_FILE: {file} cannot be read: {error.strerror}"
                ) from None

    def owner_of(self, presented: bytes, *, for_metrics: bool = False) -> str | None:
        """Return the name beside the key, or None if it lets nobody in.

        Every entry is compared, each in constant time, whichever of them fits.
        """
        self._look_again()
        digest = hashlib.sha256(presented).digest()
        owner = None
        for key in (*self._fixed, *self._of_file, *(self._of_metrics if for_metrics else ())):
            if hmac.compare_digest(key.sha256, digest):
                owner = key.name
        return owner

    def _look_again(self) -> None:
        """Read the file if it changed; while it cannot be read, the keys of the last one hold."""
        now = time.monotonic()
        if self._file is None or now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        try:
            self._read(self._file)
        except (OSError, SettingsError) as error:
            if str(error) != self._last_problem:
                logger.error("%s; the keys read before still hold", error)
            self._last_problem = str(error)
        else:
            self._last_problem = None

    def _read(self, file: Path) -> None:
        found = os.stat(file)
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen == self._seen:
            return
        if found.st_size > MAX_FILE_BYTES:
            raise SettingsError(
                f"SCALECAST_API_KEYS_FILE: {file} has {found.st_size} bytes, expected at most "
                f"{MAX_FILE_BYTES}"
            )
        text = file.read_bytes().decode("utf-8", errors="replace")
        self._of_file = parse_keys(text, f"SCALECAST_API_KEYS_FILE: {file}")
        if self._seen is not None:
            logger.info("%s was read anew: %d keys", file, len(self._of_file))
        self._seen = seen
