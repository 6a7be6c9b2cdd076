"""How counts are written for people: ``1 line``, ``5,714 lines``."""


def counted(number: int, noun: str) -> str:
    """Write the number and the noun, in the plural unless it is one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
