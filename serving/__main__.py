"""``python -m serving [--host HOST] [--port PORT]``: the sidecar, until SIGINT or SIGTERM."""

import argparse
import contextlib
import logging
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from serving.logs import configure
from serving.settings import Settings, SettingsError

GRACE_SECONDS: Final = 10
"""Open requests are given so long to finish at shutdown."""

logger = logging.getLogger("serving")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; return the exit code: 0 stopped, 1 could not start, 2 a setting cannot be used."""
    given = _parser().parse_args(arguments)
    try:
        settings = Settings.load()
        settings = replace(
            settings, host=given.host or settings.host, port=given.port or settings.port
        )
        configure(settings.log_level, settings.log_format)
        return _serve(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving", description="Answer forecasts over HTTP from the promoted model."
    )
    parser.add_argument("--host", help="where to listen; default SCALECAST_API_HOST or 127.0.0.1")
    parser.add_argument("--port", type=int, help="default SCALECAST_API_PORT or 8000")
    return parser


def _serve(settings: Settings) -> int:
    import uvicorn

    from serving.app import create_app

    config = uvicorn.Config(
        create_app(settings),
        log_level=settings.log_level,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    try:
        listening = _listen(settings.host, settings.port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        print(
            f"cannot listen on {settings.host}:{settings.port}: {reason}. Stop "
            "what listens there, or set SCALECAST_API_HOST or SCALECAST_API_PORT to another.",
            file=sys.stderr,
        )
        return 1
    host, port = listening.getsockname()[:2]
    logger.info("listening on http://%s:%s, documented at /docs", host, port)
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    return 0 if server.started else 1


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


if __name__ == "__main__":
    sys.exit(main())
