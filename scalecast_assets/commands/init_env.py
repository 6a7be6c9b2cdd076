"""``scalecast init-env``: a ``.env`` for docker-compose.yml, with passwords made here.

Nothing has a default password; whoever loses the file makes a new one, for new volumes. Called
again after an upgrade, it adds what the new release asks for.
"""

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BYTES: Final = 24
"""Of randomness in each password."""

_HEAD: Final = """\
# Made by `scalecast init-env`, for docker-compose.yml. Keep it out of version control.
# POSTGRES_PASSWORD goes into the volume when that is first made; to write another one here does not
# change it. Every setting of docs/settings.md counts when it is written here.
"""

_STORE: Final = """\
# Of the store in docker-compose.yml, and of nothing else. To use AWS instead, write all of these:
#   AWS_ENDPOINT_URL=              empty; or the address of another service
#   AWS_ACCESS_KEY_ID=…            its keys; both empty: the machine's role
#   AWS_SECRET_ACCESS_KEY=…
#   AWS_REGION=eu-central-1
#   SCALECAST_STORE_URL=s3://your-bucket
# Keys that only read, for the sidecars: SIDECAR_AWS_ACCESS_KEY_ID, SIDECAR_AWS_SECRET_ACCESS_KEY"""


def write_env(path: Path) -> list[str]:
    """Write the file, readable by its owner only; return the names that were added.

    To a file that is there already, what it lacks or leaves empty is added: it may hold the only
    copy of the rest. Of a name that is there twice, the last counts.
    """
    try:
        there = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = None
    given = _values(there or "")
    added: list[str] = []
    text = _HEAD if there is None else "\n" * (there != "" and not there.endswith("\n"))
    for comment, values in _wanted(given):
        missing = {name: value for name, value in values.items() if given.get(name) != value}
        if missing:
            lines = [comment, *(f"{name}={value}" for name, value in missing.items())]
            text += "\n" + "".join(f"{line}\n" for line in lines if line)
            added += missing
    if added:
        how = os.O_CREAT | os.O_EXCL if there is None else os.O_APPEND
        with os.fdopen(os.open(path, os.O_WRONLY | how, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # also of a file that others could read so far
            file.write(text)
    return added


def _values(text: str) -> dict[str, str]:
    """Return what the file says, without the quotes and the comments after values.

    The smoke test of the containers runs this module with nothing but Python, so no library reads.
    """
    assigned = re.findall(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=(.*)$", text, re.MULTILINE)
    found = {}
    for name, written in assigned:
        quoted = re.match(r"""\s*(["'])(.*?)\1""", written)
        found[name] = quoted[2] if quoted else re.sub(r"(^|\s)#.*", "", written).strip()
    return found


def _wanted(given: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return what the file has to say, with the comment above it; what is given stays."""

    def kept(name: str, otherwise: str) -> dict[str, str]:
        return {name: given.get(name) or otherwise}

    ui, (key_id, secret) = _password(), _keys_of_the_store(given)
    metrics_key = given.get("METRICS_KEY") or f"scalecast_{secrets.token_urlsafe(32)}"
    # Never kept: of another key it would let nobody in.
    digest = hashlib.sha256(metrics_key.encode()).hexdigest()
    return [
        ("", kept("POSTGRES_PASSWORD", _password())),
        (
            "# Of the role that Grafana reads with. Another one counts from the next start.",
            kept("READER_PASSWORD", _password()),
        ),
        (_STORE, kept("STORE_ACCESS_KEY_ID", key_id) | kept("STORE_SECRET_ACCESS_KEY", secret)),
        (
            "# By which Prometheus reads the sidecars' metrics once they ask for keys.",
            {"METRICS_KEY": metrics_key, "METRICS_KEY_SHA256": digest},
        ),
        ("", kept("GRAFANA_PASSWORD", _password())),
        (
            f'# Whoever may change things in the Dagster UI: name "operator", password {ui}',
            kept("UI_PASSWORD_SHA", htpasswd_sha(ui)),
        ),
    ]


def _keys_of_the_store(given: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and the secret by which the store here is asked.

    Before it had names of its own, they were AWS_…: without an address those are still the store's.
    """
    before = given.get("AWS_ACCESS_KEY_ID"), given.get("AWS_SECRET_ACCESS_KEY")
    elsewhere = {"AWS_ENDPOINT_URL", "SCALECAST_STORE_URL"} & set(given)
    if before[0] and before[1] and not elsewhere:
        return before[0], before[1]
    return f"scalecast{secrets.token_hex(4)}", _password()


def htpasswd_sha(password: str) -> str:
    """Return the password as a web server's password file has it ({SHA}, RFC 2307)."""
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode()


def _password() -> str:
    """URL-safe, because one of them becomes a part of postgresql://…"""
    return secrets.token_urlsafe(BYTES)
