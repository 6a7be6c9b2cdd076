"""``scalecast init-env``: a ``.env`` for docker-compose.yml, with passwords made here.

Nothing has a default password; whoever loses the file makes a new one, for new volumes. Called
again after an upgrade, it adds what the new release asks for.
"""

import base64
import hashlib
import os
import re
import secrets
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

    To a file that is there already, what it lacks is added: it may hold the only copy of the rest.
    """
    try:
        there = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = None
    named = set(re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", there or "", re.MULTILINE))
    added: list[str] = []
    text = _HEAD if there is None else "\n" * (there != "" and not there.endswith("\n"))
    for comment, values in _passwords():
        missing = {name: value for name, value in values.items() if name not in named}
        if missing:
            lines = [comment, *(f"{name}={value}" for name, value in missing.items())]
            text += "\n" + "".join(f"{line}\n" for line in lines if line)
            added += missing
    if added:
        how = os.O_CREAT | os.O_EXCL if there is None else os.O_APPEND
        with os.fdopen(os.open(path, os.O_WRONLY | how, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    return added


def _passwords() -> list[tuple[str, dict[str, str]]]:
    """Return what there is to set, each with the comment above it."""
    ui, metrics_key = _password(), f"scalecast_{secrets.token_urlsafe(32)}"
    return [
        ("", {"POSTGRES_PASSWORD": _password()}),
        (
            "# Of the role that Grafana reads with. Another one counts from the next start.",
            {"READER_PASSWORD": _password()},
        ),
        (
            _STORE,
            {
                "STORE_ACCESS_KEY_ID": f"scalecast{secrets.token_hex(4)}",
                "STORE_SECRET_ACCESS_KEY": _password(),
            },
        ),
        (
            "# By which Prometheus reads the sidecars' metrics once they ask for keys.",
            {
                "METRICS_KEY": metrics_key,
                "METRICS_KEY_SHA256": hashlib.sha256(metrics_key.encode()).hexdigest(),
            },
        ),
        ("", {"GRAFANA_PASSWORD": _password()}),
        (
            f'# Whoever may change things in the Dagster UI: name "operator", password {ui}',
            {"UI_PASSWORD_SHA": htpasswd_sha(ui)},
        ),
    ]


def htpasswd_sha(password: str) -> str:
    """Return the password as a web server's password file has it ({SHA}, RFC 2307)."""
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode()


def _password() -> str:
    """URL-safe, because one of them becomes a part of postgresql://…"""
    return secrets.token_urlsafe(BYTES)
