"""Write the lock files from what is installed beside the running interpreter.

Run by ``make lock`` inside a fresh environment with the newest releases that ``pyproject.toml``
admits. Each lock is the closure of its roots, sorted, one ``name==version`` a line:
``requirements.lock`` to run ScaleCast, ``requirements-dev.lock`` what tests and lint need besides,
``requirements-serving.lock`` all that the sidecar's image holds, ``requirements-kubernetes.lock``
what the pipeline's image has besides where Dagster runs on Kubernetes.
"""

import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Written by 'make lock' from pyproject.toml; edit that and run it again.\n"


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """Every installed distribution that ``requirements`` need here, by canonical name.

    A local version (``+cpu``) names a build, not a release: which build is the index's choice.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(key)
        distribution = metadata.distribution(wanted.name)
        found[key[0]] = Version(distribution.version).public
        for line in distribution.requires or []:
            needed = Requirement(line)
            extras = ["", *wanted.extras]
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                needed.marker = None
                waiting.append(needed)
    return found


def write(name: str, pins: dict[str, str]) -> None:
    lines = [f"{distribution}=={version}\n" for distribution, version in sorted(pins.items())]
    (ROOT / name).write_text(HEADER + "".join(lines))


def main() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    extras = project["optional-dependencies"]
    # The build's own needs too: the editable install then asks no index for anything.
    wanted = [*project["dependencies"], *settings["build-system"]["requires"]]
    runtime = closure(wanted)
    everything = closure([*wanted, *extras["dev"]])
    write("requirements.lock", runtime)
    write("requirements-dev.lock", {k: v for k, v in everything.items() if k not in runtime})
    write("requirements-serving.lock", closure(extras["serving"]))
    kubernetes = closure([*wanted, *extras["kubernetes"]])
    write("requirements-kubernetes.lock", {k: v for k, v in kubernetes.items() if k not in runtime})


if __name__ == "__main__":
    main()
