"""``kill -9`` of the S3 endpoint with a request of the run in its hands.

The run fails and says why; when the endpoint is back, the next run reaches what an undisturbed one
does. What the endpoint keeps over its death, and how honest that is, is told in ``bucket.py``.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.faults.bucket import Endpoint, FilledBucketPlace
from tests.faults.fingerprint import pointers
from tests.faults.run_process import At, Disturbance
from tests.faults.stage import PROMOTION, TRAINING, TWO_FILES, Scene, Stage
from tests.graph.command import eventually

# Dagster and what it trains with warn about things of their own.
pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.slow_faults,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc/net/tcp"),
]

ARCHIVING = At("scalecast_assets.ingest.intake:archive", call=2)
SNAPSHOT_TAKEN = At("scalecast_assets.assets.training:write_snapshot", "after")
VERSION_CLAIMED = At("scalecast_assets.assets.promotion:claim_version", "after")
MANIFEST_NEXT = At("scalecast_assets.promotion.publishing:_create", about="manifest.json")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.stop()
    shutil.rmtree(endpoint.folder)


@pytest.fixture
def bucket(
    stage: Stage, endpoint: Endpoint, aws_environment: None, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    """The stage with a bucket of the endpoint in place of the home's store."""
    if not endpoint.port:
        endpoint.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    usual = stage.place
    place = FilledBucketPlace(usual.server, usual.folder, client=endpoint.client)
    return replace(stage, place=place, prepared_by=stage)


@pytest.mark.parametrize(
    ("scene", "moment"),
    [
        pytest.param(TWO_FILES, ARCHIVING, id="archiving a raw file"),
        pytest.param(TRAINING, SNAPSHOT_TAKEN, id="storing the training set"),
        pytest.param(PROMOTION, VERSION_CLAIMED, id="uploading the bundle"),
        pytest.param(PROMOTION, MANIFEST_NEXT, id="completing the bundle"),
    ],
)
def test_an_endpoint_that_is_killed_over_a_request_loses_nothing(
    bucket: Stage, endpoint: Endpoint, scene: Scene, moment: At
) -> None:
    undisturbed = bucket.undisturbed(scene)
    place = bucket.set_up(scene)
    before = pointers(place.store)
    run = place.begin(scene.work, Disturbance(held=moment))
    run.wait_until_held()
    endpoint.take_nothing_more()
    run.go_on()
    eventually(endpoint.has_unread_requests, "the run has sent its request", 120)
    endpoint.kill()
    assert run.wait() == 1, run.said
    assert "cannot be reached" in str(place.query("select event from dagster.event_logs"))
    endpoint.start()
    assert pointers(place.store) == before
    assert bucket.after_the_fault(scene) == undisturbed
