"""The process of one run, and what a test does to it: killed, held or misled at a certain point.

``main`` is what ``python -m scalecast_assets.commands.runner`` does, in a child of a fork server
that has imported everything: a run costs what it does, and not five seconds of imports. The child
is altered by patching its own functions; the product has no hook for any of this.
"""

import importlib
import os
import resource
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, Literal

PRELOADED = (
    "dagster_aws.s3",
    "dagster_dbt",
    "dagster_postgres",
    "great_expectations",
    "onnxruntime",
    "scalecast_assets.commands.runner",
    "scalecast_assets.definitions",
    "sklearn.ensemble",
    "torch",
    "xgboost",
)
"""What the fork server imports before the first run."""

PATIENCE_SECONDS = 900.0


MOMENTS: "list[At]" = []
"""Every one that the tests name."""


@dataclass(frozen=True)
class At:
    """A moment in a process: before or after the nth call of ``module:function`` (or of a method).

    With ``about``, only calls count whose arguments (after: or answer) contain that text. Calls
    come by the name under which the caller knows the function, so ``module`` is the caller's.
    """

    function: str
    when: Literal["before", "after"] = "before"
    call: int = 1
    about: str = ""

    def __post_init__(self) -> None:
        MOMENTS.append(self)


@dataclass(frozen=True)
class Disturbance:
    """What happens to a run's process; nothing by default."""

    killed: At | None = None
    """Where it kills itself, as ``kill -9`` would from outside."""

    orphans: bool = False
    """Whether what the killed process has started, dbt, goes on without it."""

    held: At | None = None
    """Where it waits for ``Run.go_on``, so that something can be done to its surroundings."""

    file_limit: int | None = None
    """The most bytes a file may have that it writes: a quota."""

    altered: Mapping[str, Any] = field(default_factory=dict)
    """Values of ``module:name``, as constants of time-outs or the class of a clock."""


@dataclass(frozen=True)
class Work:
    """What the run materializes: a job, or these assets with their checks; raw_demand's config."""

    job: str = ""
    assets: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


def main(
    environment: Mapping[str, str], work: Work, disturbance: Disturbance, folder: Path
) -> None:
    """Run in this environment; what is printed goes to ``folder/log``."""
    os.setsid()
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.clear()
    os.environ.update(environment)
    if disturbance.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (disturbance.file_limit,) * 2)
    for name, value in disturbance.altered.items():
        owner, attribute = owner_of(name)
        setattr(owner, attribute, value)
    if disturbance.killed:
        kill = os.kill if disturbance.orphans else os.killpg
        _arm(disturbance.killed, lambda: kill(os.getpid(), signal.SIGKILL))
    if disturbance.held:
        _arm(disturbance.held, lambda: _wait(folder))
    sys.exit(_run(work))


def _run(work: Work) -> int:
    import json

    from scalecast_assets.commands import runner

    ops = {"raw_demand": {"config": dict(work.config)}} if work.config else {}
    if work.job:
        run_id = str(uuid.uuid4())
        arguments = ["--job", work.job, "--run-id", run_id, "--ops", json.dumps(ops)]
        return runner.main(arguments)
    import dagster as dg

    from scalecast_assets.definitions import build_definitions
    from scalecast_assets.settings import Settings

    with dg.DagsterInstance.get() as instance:
        job = build_definitions(Settings.load()).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            run_config={"ops": ops, **runner.QUIET},
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in work.assets],
            raise_on_error=False,
        )
    return 0 if result.success else 1


def owner_of(name: str) -> tuple[Any, str]:
    """The module or class that has the attribute, and the attribute's name."""
    module, _, path = name.partition(":")
    *owners, attribute = path.split(".")
    return reduce(getattr, owners, importlib.import_module(module)), attribute


def _arm(at: At, act: Callable[[], object]) -> None:
    owner, attribute = owner_of(at.function)
    function = getattr(owner, attribute)
    calls = 0

    def disturbed(*given: Any, **named: Any) -> Any:
        nonlocal calls
        if at.when == "before":
            if at.about in repr((given, named)):
                calls += 1
                if calls == at.call:
                    act()
            return function(*given, **named)
        answer = function(*given, **named)
        if at.about in repr((given, named, answer)):
            calls += 1
            if calls == at.call:
                act()
        return answer

    setattr(owner, attribute, disturbed)


def _wait(folder: Path) -> None:
    (folder / "held").touch()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (folder / "go on").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


class Run:
    """A run's process, seen from the test."""

    def __init__(
        self,
        context: Any,
        environment: Mapping[str, str],
        work: Work,
        disturbance: Disturbance,
        folder: Path,
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        given = (dict(environment), work, disturbance, folder)
        self.process = context.Process(target=main, args=given)
        self.process.start()

    @property
    def said(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code; -9 if it was killed."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still at it after {seconds} s: {self.said}"
        return int(self.process.exitcode)

    def wait_until_held(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self.folder / "held").exists():
            assert self.process.is_alive(), f"ended before it was held: {self.said}"
            assert time.monotonic() < deadline, f"was not held: {self.said}"
            time.sleep(0.01)

    def go_on(self) -> None:
        (self.folder / "go on").touch()

    def kill(self, *, with_children: bool = False) -> None:
        """``kill -9``, of the process alone or of its whole session."""
        if with_children:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.join(20)
