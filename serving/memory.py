"""How much memory is left for this process: of the machine, and of its container."""

from pathlib import Path
from typing import Final

_MACHINE: Final = Path("/proc/meminfo")
_CONTAINER: Final = Path("/sys/fs/cgroup")


def free_bytes(machine: Path = _MACHINE, container: Path = _CONTAINER) -> int | None:
    """Return how many bytes can still be had; None where the system does not tell."""
    known = [left for left in (_of_machine(machine), _of_container(container)) if left is not None]
    return min(known, default=None)


def _of_machine(file: Path) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    words = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(words[0][1]) << 10 if words else None


def _of_container(folder: Path) -> int | None:
    """Ask cgroup v2; what caches hold of the limit is given back when it is needed."""
    try:
        limit, used = ((folder / f"memory.{name}").read_text() for name in ("max", "current"))
        cached = [
            int(line.split()[1])
            for line in (folder / "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file ")
        ]
        return max(int(limit) - int(used) + sum(cached), 0)
    except (OSError, ValueError):  # no such limit
        return None
