"""``scalecast init-env``: a ``.env`` for docker-compose.yml, with passwords made here.

Nothing has a default password; whoever loses the file makes a new one, for new volumes.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

BYTES: Final = 24
"""Of randomness in each password."""

_TEMPLATE: Final = """\
# Made by `scalecast init-env`, for docker-compose.yml. Keep it out of version control.
# These passwords go into the volumes when those are first made; a new file does not change them.

POSTGRES_PASSWORD={postgres}

# The store inside docker-compose.yml. For AWS or another service, set these to its keys.
AWS_ACCESS_KEY_ID={access_key}
AWS_SECRET_ACCESS_KEY={secret_key}
AWS_REGION=us-east-1

GRAFANA_PASSWORD={grafana}

# Whoever may change things in the Dagster UI: name "operator", password {ui}
UI_PASSWORD_SHA={ui_sha}
"""


class EnvFileExists(FileExistsError):
    """There is such a file already; it may hold the only copy of its passwords."""


def write_env(path: Path) -> None:
    """Write the file, readable by its owner only.

    Raises:
        EnvFileExists: it is there already.
    """
    ui = _password()
    text = _TEMPLATE.format(
        postgres=_password(),
        access_key=f"scalecast{secrets.token_hex(4)}",
        secret_key=_password(),
        grafana=_password(),
        ui=ui,
        ui_sha=htpasswd_sha(ui),
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise EnvFileExists(
            f"{path} is there already, and may hold the only copy of its passwords. Move it away "
            "to have a new one made"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def htpasswd_sha(password: str) -> str:
    """Return the password as a web server's password file has it ({SHA}, RFC 2307)."""
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode()


def _password() -> str:
    """URL-safe, because one of them becomes a part of postgresql://…"""
    return secrets.token_urlsafe(BYTES)
