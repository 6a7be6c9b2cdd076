"""A graph is tried in a process of its own before it is let into the one that serves.

A graph of a few hundred bytes can ask for gigabytes or loop for ever, and bytes that are no graph
may crash the library that reads them. Memory, time and files of the trial are limited, and it sees
no credentials. What a graph must look like is checked in ``model.py``, of one that passed.

Run as a script this is the trial itself; it then imports numpy and onnxruntime alone.
"""

import os
import resource
import subprocess
import sys
from typing import Any, Final

ROWS: Final = 1_000
"""As many as a part of a batch has: what serving asks of a graph at once."""

SECONDS: Final = 30.0
"""For the import, the load and the rows; XGBoost of 9 MB takes 0.4."""

SPARE_BYTES: Final = 512 << 20
PER_GRAPH_BYTE: Final = 20
"""XGBoost of 2 MB needs 91 MB of data in all, of 9 MB 194: 15 for a byte of the graph."""

PASSED: Final = 0
REFUSED: Final = 3

_passed: set[str] = set()
"""The sha256 of graphs that this process has seen pass: swaps go forwards and back."""


class TrialFailed(Exception):
    """The graph fails, crashes, or takes more memory or time than it may."""


def try_apart(onnx: bytes, sha256: str) -> None:
    """Load the graph in a child process and let it predict; raises ``TrialFailed``.

    Raises:
        OSError: no process can be started.
    """
    if sha256 in _passed:
        return
    # The rest of the environment has credentials in it.
    known = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONPATH", "PYTHONHOME")
    environment = {name: os.environ[name] for name in known if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, str(len(onnx))],
            input=onnx,
            capture_output=True,
            timeout=SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TrialFailed(f"took more than {SECONDS:g} s for {ROWS:,} rows") from None
    if done.returncode == REFUSED:
        raise TrialFailed(f"fails: {done.stdout.decode(errors='replace').strip()[:300]}")
    if done.returncode != PASSED:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[-1][:200]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        raise TrialFailed(f"ended the process that tried it with {how}, which said {said!r}")
    _passed.add(sha256)


def _limit(n_bytes: int) -> None:
    memory = SPARE_BYTES + PER_GRAPH_BYTE * n_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS) + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        # Where memory is short, the system shall take this process and not the one that serves.
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except OSError:
        pass


def _try(onnx: bytes) -> None:
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    rows: dict[str, Any] = {}
    for given in session.get_inputs():
        width = given.shape[-1] if given.shape and isinstance(given.shape[-1], int) else 16
        if given.type != "tensor(float)" or len(given.shape) != 2 or width > 64:
            return  # of another interface, which whoever loads it says better
        rows[given.name] = np.ones((ROWS, width), np.float32)
    session.run(None, rows)


def _main() -> int:
    _limit(int(sys.argv[1]))
    try:
        _try(sys.stdin.buffer.read())
    except Exception as error:
        print((str(error).splitlines() or [type(error).__name__])[0])
        return REFUSED
    return PASSED


if __name__ == "__main__":
    sys.exit(_main())
