"""``scalecast up`` and ``scalecast serve``: which services, in which order, and what is said.

How a process is started, watched and stopped is in ``services.py``.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from scalecast_assets.assets.dbt_manifest import DBT_PROJECT, ensure_manifest
from scalecast_assets.commands import services
from scalecast_assets.commands.outcome import in_words, run_everything
from scalecast_assets.commands.sample import write_sample
from scalecast_assets.commands.services import Services
from scalecast_assets.contract.pointers import read_serving
from scalecast_assets.ingest.ledger import raw_objects
from scalecast_assets.ingest.merge import is_empty
from scalecast_assets.resources.configured import alert_channels, store_of
from scalecast_assets.runtime import Runtime
from scalecast_assets.settings import Settings, SettingsError, variable

Announce = Callable[[dict[str, Any], str], None]

API_HOST: Final = "SCALECAST_API_HOST"
NO_MODEL: Final = "No model yet: scalecast run --csv FILE, or Materialize all in the UI"


def run_until_stopped(runtime: Runtime, *, with_sample: bool, announce: Announce) -> int:
    """Keep UI, daemon and API up until Ctrl-C; returns the exit code.

    With ``with_sample`` everything is materialized first: on the sample if there is nothing at all,
    on what is there if an earlier run was broken off before it had a model.
    """
    with alone(runtime.settings.home) as note:
        return _run_until_stopped(runtime, with_sample, announce, note)


def _run_until_stopped(
    runtime: Runtime, with_sample: bool, announce: Announce, note: Callable[[str], None]
) -> int:
    settings = runtime.settings
    alert_channels(settings)  # A bad address ends us here, not a code server out of sight.
    ui_port = services.free_port(settings.ui_port, services.UI_PORT, "ui_port")
    api_port = services.free_port(settings.api_port, services.API_PORT, "api_port")
    code_port = services.free_port(None, services.CODE_PORT, "code_port")
    if with_sample and (exit_code := _run_first(runtime, announce)):
        return exit_code
    environment = {**runtime.environment, **services.code_server_address(code_port)}
    code = services.code_server(code_port)
    ui = services.dagster_ui(ui_port)
    api = services.prediction_api(os.environ.get(API_HOST) or services.HOST, api_port)
    with Services(settings.home / "logs") as running:
        running.start(api, environment)
        # The code server shall not find dbt's project unparsed: it would parse it, out of sight.
        ensure_manifest(DBT_PROJECT, settings.home)
        running.start(code, environment)
        running.wait_ready(code)
        running.start(ui, environment)
        running.start(services.dagster_daemon(), environment)
        running.wait_ready(api)
        running.wait_ready(ui)
        facts = {
            "ui": f"http://{services.HOST}:{ui_port}",
            "api": f"http://{services.HOST}:{api_port}",
            "home": str(settings.home),
            "model": _served_version(settings),
        }
        note(f"UI {facts['ui']}, API {facts['api']}")
        announce(facts, _welcome(facts, ui_port, api_port))
        problem = running.watch()
        if problem is None:
            announce({"stopping": True}, "\nStopping …")
    if problem:
        announce({"error": problem}, problem)
        return 1
    return 0


def serve_until_stopped(settings: Settings, announce: Announce) -> int:
    """Keep the prediction API alone up until Ctrl-C; returns the exit code."""
    port = services.free_port(settings.api_port, services.API_PORT, "api_port")
    api = services.prediction_api(os.environ.get(API_HOST) or services.HOST, port)
    environment = {
        variable("home"): str(settings.home),
        variable("store_url"): settings.resolved_store_url,
    }
    with Services(settings.home / "logs") as running:
        running.start(api, environment)
        running.wait_ready(api)
        url = f"http://{services.HOST}:{port}"
        announce({"api": url}, f"Prediction API  {url}/docs\nCtrl-C stops it.")
        problem = running.watch()
    if problem:
        announce({"error": problem}, problem)
        return 1
    return 0


@contextmanager
def alone(home: Path) -> Iterator[Callable[[str], None]]:
    """Hold the home's lock, on which one may note where things answer; two daemons would clash."""
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SettingsError(
                f"ScaleCast is up already in {home} ({lock.read() or 'it is starting'}). Use that "
                f"one, stop it there, or set {variable('home')} to another folder"
            ) from None
        lock.truncate(0)

        def note(text: str) -> None:
            lock.truncate(0)
            lock.write(text)
            lock.flush()

        yield note


def _run_first(runtime: Runtime, announce: Announce) -> int:
    """Materialize everything if there are no data or no model yet; returns 0 to go on.

    The sample is for those who have nothing: somebody's own files in raw/ are never mixed with it.
    A run on what is there may fail for reasons that are best looked at in the UI.
    """
    settings = runtime.settings
    with psycopg.connect(runtime.database_url) as connection:
        nothing_loaded = is_empty(connection)
    if not nothing_loaded and _served_version(settings) is not None:
        return 0
    needs_sample = nothing_loaded and not raw_objects(store_of(settings))
    files = [write_sample(settings.home / "sample")[0]] if needs_sample else []
    outcome = run_everything(runtime, files, replace=False, again=False)
    announce(outcome.to_json(), in_words(outcome))
    return outcome.exit_code if files else 0


def _served_version(settings: Settings) -> str | None:
    held = read_serving(store_of(settings))
    return held.pointer.version if held else None


def _welcome(facts: dict[str, Any], ui_port: int, api_port: int) -> str:
    lines = [
        "",
        f"Dagster UI      {facts['ui']}",
        f"Forecasts       {facts['api']}/",
        f"Prediction API  {facts['api']}/docs",
    ]
    for name, port, default in (
        ("UI", ui_port, services.UI_PORT),
        ("API", api_port, services.API_PORT),
    ):
        if port != default:
            lines.append(f"(port {default} was taken or another was asked for: {name} on {port})")
    lines += ["", *(_example(facts["api"]) if facts["model"] else [NO_MODEL])]
    lines += ["", "Ctrl-C stops everything."]
    return "\n".join(lines)


def _example(api: str) -> list[str]:
    body = (
        '{"date": "2024-03-15", "store_id": "STORE_001", "product_id": "PROD_A", '
        '"price": 29.99, "promotion": true}'
    )
    return [
        "Try:",
        f"  curl -s {api}/predict -H 'Content-Type: application/json' \\",
        f"    -d '{body}'",
    ]
