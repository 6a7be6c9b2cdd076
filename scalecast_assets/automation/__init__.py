"""What the daemon looks after: which files start a run, which clock, and which runs are dead.

``jobs.py`` has the jobs. ``new_raw_files.py`` is the sensor of the bucket: what it looks at is read
by ``feed.py``, what follows from it is decided by ``decision.py``, which is pure. ``retraining.py``
has the schedule and the sensor of the slower cadence, ``orphans.py`` the runs that were killed.
"""

from scalecast_assets.automation.jobs import build_jobs
from scalecast_assets.automation.new_raw_files import build_feed_sensor
from scalecast_assets.automation.orphans import killed_runs
from scalecast_assets.automation.retraining import build_retraining

__all__ = ["build_feed_sensor", "build_jobs", "build_retraining", "killed_runs"]
