"""What each image carries: the size of its locked packages, and the largest of them.

    python -m benchmarks.sizes

Sizes are those of the files that each package's own record names, in the environment that runs
this; a package that is locked and not installed here is named. An image adds Python and Debian's
base (about 130 MB, not measured here) and our own code.
"""

import sys
from importlib import metadata
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = {
    "pipeline": ("requirements.lock",),
    "pipeline on Kubernetes": ("requirements.lock", "requirements-kubernetes.lock"),
    "sidecar": ("requirements-serving.lock",),
}
SHOWN: Final = 5


def locked(*names: str) -> dict[str, str]:
    """Name and version of everything that the locks pin."""
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def size_of(package: str) -> int | None:
    """Bytes of the package's installed files; None if it is not installed here."""
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        return None
    kept = (file.locate() for file in files if not file.name.endswith(".pyc"))
    return sum(Path(str(path)).stat().st_size for path in kept if Path(str(path)).is_file())


def main() -> int:
    """Print one paragraph for each image."""
    for image, locks in IMAGES.items():
        pinned = locked(*locks)
        sizes = {name: size_of(name) for name in pinned}
        missing = [name for name, size in sizes.items() if size is None]
        known = {name: size for name, size in sizes.items() if size is not None}
        total = sum(known.values()) / 1e6
        print(f"{image:<24} {len(pinned):4} packages {total:8.0f} MB")
        for name in sorted(known, key=lambda n: -known[n])[:SHOWN]:
            print(f"    {name:<26} {known[name] / 1e6:8.1f} MB  {known[name] / 1e6 / total:4.0%}")
        if missing:
            print(f"    locked, not installed here: {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
