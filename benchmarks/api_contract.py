"""schemathesis against a sidecar: does every answer keep to ``/openapi.json``, whatever is sent?

    python -m benchmarks.api_contract [--examples 700]

All endpoints, valid and invalid requests: the documented examples, systematic cases around each
constraint, then random ones. Must hold: no 5xx, no status, header or body that is not documented,
nothing invalid that is let through.

Not asked for is that whatever fits the schema is answered: which days and series there are is a
matter of the history, and a schema cannot say it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.soak_questions import wait_until_served
from benchmarks.soak_store import make_contents, sidecar
from scalecast_assets.contract.store import DirectoryStore

ROOT: Final = Path(__file__).resolve().parent.parent
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
)


def check(url: str, settings: dict[str, str], examples: int, seed: int = 1) -> dict[str, Any]:
    """Run schemathesis; returns its report, and what it printed as ``text``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS)),
            *("--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure"),
            *("--generation-database", "none", "--warnings", "off", "--no-color", "--no-shrink"),
            *("--report", "json", "--report-json-path", str(report)),
        ]
        environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
        environment["SCHEMATHESIS_HOOKS"] = "benchmarks.api_contract_hooks"
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if not report.exists():
            raise SystemExit(f"schemathesis did not run: {done.stdout}{done.stderr}")
        return {**json.loads(report.read_text()), "text": done.stdout}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_contract")
    parser.add_argument("--examples", type=int, default=700, help="random cases per endpoint")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    contents = make_contents(4, 6, with_xgboost=False)
    version, until = next(iter(contents.models)), next(iter(contents.states))
    with tempfile.TemporaryDirectory() as folder:
        contents.fill(DirectoryStore(Path(folder) / "store"), version, until)
        process, url = sidecar({"SCALECAST_LOG_LEVEL": "warning"}, folder, None)
        try:
            wait_until_served(url, version, until)
            settings = {
                "API_CONTRACT_FIRST_DAY": str(np.datetime64(until) - 50),
                "API_CONTRACT_STORE_ID": json.dumps(contents.panel.stores),
                "API_CONTRACT_PRODUCT_ID": json.dumps(contents.panel.products),
            }
            report = check(url, settings, given.examples, given.seed)
        finally:
            process.terminate()
            process.wait(20)
    return show(report)


def show(report: dict[str, Any]) -> int:
    """Print the figures; returns the exit code."""
    if report["failures"] or report["errors"]:
        print(report["text"])
    operations, cases = report["operations"], report["test_cases"]
    accepted: dict[str, int] = {}
    for phases in report["valid_rates"].values():
        for counts in phases.values():
            for outcome, n in counts.items():
                accepted[outcome] = accepted.get(outcome, 0) + n
    print(
        f"{cases['generated']:,} cases over {operations['tested']} of {operations['total']} "
        f"endpoints in {report['running_time']:.0f} s; of the valid ones {accepted}\n"
        f"failures: {len(report['failures'])}, errors: {len(report['errors'])}"
    )
    return 1 if report["failures"] or report["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
