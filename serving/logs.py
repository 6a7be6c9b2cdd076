"""How the process logs: one JSON object a line, each with the id of the request it belongs to;
for people on a terminal, plain lines.

What is logged is decided where it happens; request headers and bodies are never part of it.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered; also seen by threads that work for it."""

MAX_MESSAGE: Final = 4_000
"""Characters of a message that are kept: a log must not be filled from outside."""


class JsonFormatter(logging.Formatter):
    """Formats records as JSON; what ``extra={"fields": {…}}`` holds become keys of their own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MAX_MESSAGE],
        }
        if (asked := request_id.get()) is not None:
            line["request_id"] = asked
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str, log_format: str) -> None:
    """Log to standard error from now on; ``auto`` is for people on a terminal, else JSON."""
    if log_format == "auto":
        log_format = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter()
        if log_format == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
