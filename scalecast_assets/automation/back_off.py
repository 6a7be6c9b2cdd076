"""How long something that failed is left alone before it is tried again."""

from datetime import timedelta
from typing import Final

FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=1)


def wait_after(failures: int, longest: timedelta = LONGEST_WAIT) -> timedelta:
    """Nothing after the first failure, then a minute, doubled with each, up to ``longest``."""
    if failures < 2:
        return timedelta(0)
    doublings = min(failures - 2, 20)
    return min(longest, FIRST_WAIT * (1 << doublings))
