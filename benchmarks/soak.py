"""Ten minutes of mixed load on one sidecar, with swaps, kills of the bucket and bad clients.

    python -m benchmarks.soak [--minutes 10]

Every answer is compared with what a calm sidecar says for the version and the history that it
names. Must hold: no wrong answer, no 5xx but documented 503s, no error in the log, flat memory. The
sidecar reads from an S3 endpoint, which is killed with SIGKILL and comes back empty.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import psutil

from benchmarks.soak_clients import BadClients, Tally, good_client
from benchmarks.soak_questions import Question, known_answers, make_questions
from benchmarks.soak_store import Bucket, Contents, make_contents, sidecar

GOOD_CLIENTS: Final = 6
BAD_CLIENTS: Final = 4
FLAT_MB_PER_MINUTE: Final = 1.0
"""In the second half; before, caches and the heap fill."""
SIDECAR: Final = {
    "SCALECAST_POLL_SECONDS": "0.5",
    "SCALECAST_BODY_SECONDS": "4",
    "SCALECAST_LOG_FORMAT": "json",
}


@dataclass(frozen=True)
class Plan:
    """How long, how much, how often."""

    seconds: float
    n_stores: int = 30
    n_products: int = 50
    n_questions: int = 1_500
    with_xgboost: bool = True
    swap_seconds: float = 10.0
    kill_seconds: float = 60.0
    away_seconds: float = 15.0
    pause: float = 0.02


@dataclass
class Report:
    """What there is to say at the end."""

    tally: Tally
    swaps: int = 0
    """Swaps that were seen to answer."""
    kills: int = 0
    rss: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the beginning, MiB."""
    stale_seen: int = 0
    log_problems: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return self.tally.wrong + self.tally.errors + self.log_problems

    def slope(self, after: float) -> float:
        """MiB per minute that memory grows by, from ``after`` seconds on."""
        late = np.array([point for point in self.rss if point[0] >= after])
        return float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * 60) if len(late) > 2 else 0.0


def soak(plan: Plan) -> Report:
    """Play it; the sidecar and the endpoint are processes of this one."""
    contents = make_contents(plan.n_stores, plan.n_products, with_xgboost=plan.with_xgboost)
    questions = make_questions(contents, plan.n_questions)
    answers = known_answers(contents, questions)
    report = Report(Tally())
    bucket = Bucket(contents)
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "wb") as log:
        bucket.start(*_first(contents))
        process, url = sidecar({**SIDECAR, **bucket.environment}, folder, log)
        try:
            asyncio.run(_play(plan, contents, questions, answers, bucket, process, url, report))
        finally:
            process.terminate()
            process.wait(20)
            bucket.kill()
        report.log_problems = _log_problems(Path(folder) / "log")
    return report


async def _play(
    plan: Plan,
    contents: Contents,
    questions: list[Question],
    answers: list[list[object]],
    bucket: Bucket,
    process: subprocess.Popen[bytes],
    url: str,
    report: Report,
) -> None:
    limits = httpx.Limits(max_connections=GOOD_CLIENTS + 4)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        await _until_ready(client)
        clients = [
            good_client(client, questions, answers, report.tally, plan.pause, seed)
            for seed in range(GOOD_CLIENTS)
        ]
        bad = [BadClients(url, questions, report.tally, seed).run() for seed in range(BAD_CLIENTS)]
        others = [
            _swap(plan, contents, bucket, client, report),
            _weigh(process, report),
            _tell(report),
        ]
        tasks = [asyncio.create_task(one) for one in (*clients, *bad, *others)]
        done, _ = await asyncio.wait(
            tasks, timeout=plan.seconds, return_when=asyncio.FIRST_EXCEPTION
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


async def _swap(
    plan: Plan, contents: Contents, bucket: Bucket, client: httpx.AsyncClient, report: Report
) -> None:
    """Point at another version or history, and now and then kill the bucket for a while."""
    chance = random.Random(9)
    versions, days = list(contents.models), list(contents.states)
    at, began, killed_at = 0, time.monotonic(), time.monotonic()
    version, until = _first(contents)
    while True:
        await asyncio.sleep(plan.swap_seconds)
        if time.monotonic() - killed_at > plan.kill_seconds:
            killed_at = time.monotonic()
            await asyncio.to_thread(bucket.kill)
            report.kills += 1
            await asyncio.sleep(plan.away_seconds)
            await asyncio.to_thread(bucket.start, version, until)
        at = (at + chance.choice((1, -1))) % len(versions)  # forwards and back
        version, until = versions[at], chance.choice(days)
        await asyncio.to_thread(bucket.point, version, until)
        for _ in range(200):
            ready = (await client.get("/ready")).json()
            report.stale_seen += "stale" in ready
            if (ready.get("model_version"), ready.get("data_until")) == (version, until):
                report.swaps += 1
                break
            await asyncio.sleep(0.1)
        else:
            seconds = time.monotonic() - began
            report.tally.errors.append(f"{version} was not served, at {seconds:.0f} s: {ready}")


async def _weigh(process: subprocess.Popen[bytes], report: Report) -> None:
    began, weighed = time.monotonic(), psutil.Process(process.pid)
    while True:
        if process.poll() is not None:
            raise SystemExit(f"the sidecar has ended with code {process.returncode}")
        rss = weighed.memory_info().rss / 2**20
        report.rss.append((time.monotonic() - began, rss))
        await asyncio.sleep(1)


async def _tell(report: Report) -> None:
    """Say each minute how it goes."""
    while True:
        await asyncio.sleep(60)
        at, rss = report.rss[-1]
        tally = report.tally
        print(
            f"  {at:.0f} s: {tally.answers.total():,} right, {len(tally.wrong)} wrong, "
            f"{len(tally.errors)} errors, {report.swaps} swaps, {report.kills} kills, "
            f"{rss:.1f} MiB",
            flush=True,
        )
        for problem in report.problems[:3]:
            print(f"    {problem}", flush=True)


async def _until_ready(client: httpx.AsyncClient) -> None:
    for _ in range(600):
        try:
            if (await client.get("/ready")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the sidecar did not get ready")


def _first(contents: Contents) -> tuple[str, str]:
    return next(iter(contents.models)), next(iter(contents.states))


def _log_problems(file: Path) -> list[str]:
    """Errors of the log; warnings of an absent bucket are what it is for."""
    problems = []
    for line in file.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            problems.append(f"log: {line[:300]}")
            continue
        if str(entry.get("level", "")).lower() in ("error", "critical"):
            problems.append(f"log: {line[:300]}")
    return problems


def show(report: Report, seconds: float) -> None:
    """Print the figures."""
    tally = report.tally
    n = tally.answers.total()
    print(f"{seconds:.0f} s: {n:,} right answers ({n / seconds:.0f} a second)")
    print("  by kind: " + ", ".join(f"{kind} {k:,}" for kind, k in tally.answers.most_common()))
    print("  by version: " + ", ".join(f"{one} {k:,}" for one, k in sorted(tally.versions.items())))
    print(f"  {report.swaps} swaps, {report.kills} kills of the bucket, {tally.turned_away} 503s")
    print("bad clients: " + ", ".join(f"{way} {k:,}" for way, k in sorted(tally.bad.items())))
    settled = min(120.0, seconds / 2)
    early = [mib for at, mib in report.rss if at >= settled][:1] or [report.rss[0][1]]
    slope, late = report.slope(settled), report.slope(seconds / 2)
    print(
        f"memory: {early[0]:.1f} MiB after {settled:.0f} s, {report.rss[-1][1]:.1f} MiB at the "
        f"end, most {max(mib for _, mib in report.rss):.1f}; slope {slope:+.2f} MiB a minute, "
        f"in the second half {late:+.2f}"
    )
    print(
        f"wrong answers: {len(tally.wrong)}; errors: {len(tally.errors)}; log errors: "
        f"{len(report.log_problems)}"
    )
    for problem in report.problems[:10]:
        print(f"  {problem}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    plan = Plan(seconds=parser.parse_args().minutes * 60)
    report = soak(plan)
    show(report, plan.seconds)
    grows = report.slope(plan.seconds / 2) > FLAT_MB_PER_MINUTE
    return 1 if report.problems or grows else 0


if __name__ == "__main__":
    sys.exit(main())
