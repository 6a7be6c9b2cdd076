"""What ends by itself: a command whose run is over and whose database is silent."""

import subprocess
import sys
from pathlib import Path

OUTLIVES = """
import subprocess, sys, time
from pathlib import Path
from scalecast_assets.commands import runner

runner.AFTERWARDS_SECONDS = 0.1
log = Path(sys.argv[1])
child = subprocess.Popen(["true"])
with runner._not_outliving(child, log):
    time.sleep(600)  # as reading events of a database that never answers
"""


def test_a_command_whose_run_has_ended_does_not_wait_for_a_silent_database(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Run 12345678 ended itself: Postgres has not answered for 10 minutes.")
    command = [sys.executable, "-c", OUTLIVES, str(log)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "the database does not answer" in ended.stderr
    assert "ended itself: Postgres has not answered" in ended.stderr
