"""An S3 endpoint that fails, hangs or goes away: the run fails or endures, and nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.faults.bucket import BucketPlace
from tests.faults.fingerprint import fingerprint
from tests.faults.proxy import Fault, S3Proxy
from tests.faults.run_process import At, Disturbance
from tests.faults.stage import NEW_STATE, TWO_FILES, Stage, cases

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Dagster warns about things of its own.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("aws_environment")]

IMPATIENT = Disturbance(altered={"scalecast_assets.resources.object_store:READ_TIMEOUT_SECONDS": 1})
SECOND_FILE, STATE = "raw/third.csv", "serving/state.json"


@pytest.fixture(scope="module")
def proxy(moto_endpoint: str) -> Iterator[S3Proxy]:
    with S3Proxy(moto_endpoint).running() as proxy:
        yield proxy


@pytest.fixture
def bucket(stage: Stage, proxy: S3Proxy, s3_client: "S3Client") -> Iterator[Stage]:
    """The stage with a bucket behind the proxy in place of the home's store."""
    usual = stage.place
    place = BucketPlace(usual.server, usual.folder, client=s3_client)
    place.more = {"AWS_ENDPOINT_URL": proxy.url}
    yield replace(stage, place=place, prepared_by=stage)
    proxy.fault = None


FATAL = {
    "listing refused": (TWO_FILES, Fault("slow down", "GET", "list-type=2")),
    "a file refused": (TWO_FILES, Fault("error", "GET", SECOND_FILE)),
    "a file cut half way": (TWO_FILES, Fault("cut half way", "GET", SECOND_FILE)),
    "a file hangs half way": (TWO_FILES, Fault("hangs half way", "GET", SECOND_FILE)),
    "connections reset over a file": (TWO_FILES, Fault("reset", "GET", SECOND_FILE)),
    "archive refused": (TWO_FILES, Fault("error", "PUT", "archive/")),
    "pointer refused": (NEW_STATE, Fault("slow down", "PUT", STATE)),
}
PASSING = {
    "a listing refused twice": (TWO_FILES, Fault("slow down", "GET", "list-type=2", 2)),
    "a file reset once": (TWO_FILES, Fault("reset", "GET", SECOND_FILE, 1)),
    "archived and the answer lost": (TWO_FILES, Fault("answer lost", "PUT", "archive/", 1)),
    "pointed to and the answer lost": (NEW_STATE, Fault("answer lost", "PUT", STATE, 1)),
}
SLOW = {
    "listing refused",
    "a file refused",
    "connections reset over a file",
    "pointer refused",
    "a file reset once",
    "archived and the answer lost",
}


@pytest.mark.parametrize("fault", cases(FATAL, SLOW))
def test_a_run_that_the_store_failed_is_made_good_by_the_next(
    bucket: Stage, proxy: S3Proxy, fault: str
) -> None:
    scene, what = FATAL[fault]
    undisturbed = bucket.undisturbed(scene)
    place = bucket.set_up(scene)
    proxy.fault = replace(what)
    run = place.run(scene.work, IMPATIENT)
    assert run.wait() == 1, run.said
    assert proxy.fault.happened
    proxy.fault = None
    assert bucket.after_the_fault(scene) == undisturbed


@pytest.mark.parametrize("fault", cases(PASSING, SLOW))
def test_a_failure_that_passes_is_endured(bucket: Stage, proxy: S3Proxy, fault: str) -> None:
    scene, what = PASSING[fault]
    undisturbed = bucket.undisturbed(scene)
    place = bucket.set_up(scene)
    proxy.fault = replace(what)
    run = place.run(scene.work)
    assert run.wait() == 0, run.said
    assert proxy.fault.happened == what.times
    assert fingerprint(place) == undisturbed


def test_an_endpoint_that_is_gone_between_two_files_is_waited_for_by_the_next_run(
    bucket: Stage, moto_endpoint: str
) -> None:
    undisturbed = bucket.undisturbed(TWO_FILES)
    place = bucket.set_up(TWO_FILES)
    landed = Disturbance(held=At("scalecast_assets.ingest.intake:_land", "after"))
    with S3Proxy(moto_endpoint).running() as endpoint:
        place.more = place.more | {"AWS_ENDPOINT_URL": endpoint.url}
        run = place.begin(TWO_FILES.work, landed)
        run.wait_until_held()
    run.go_on()
    assert run.wait() == 1, run.said
    assert "cannot be reached" in str(place.query("select event from dagster.event_logs"))
    with S3Proxy(moto_endpoint).running() as endpoint:
        place.more = place.more | {"AWS_ENDPOINT_URL": endpoint.url}
        assert bucket.after_the_fault(TWO_FILES) == undisturbed
