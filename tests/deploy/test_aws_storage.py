"""deploy/aws/storage.yaml made for real, by an AWS that enforces its policies (moto's).

The bucket that it makes keeps the store's contract; the pipeline can do what it needs to, the
sidecar can read what is promoted and nothing more.
"""

import json
import subprocess
import sys
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER, model_key
from scalecast_assets.contract.s3_store import S3Store
from tests.deploy.aws import Aws
from tests.graph.command import ROOT, SCALECAST, eventually, fetch, free_port
from tests.serving.makers import asking, make_world, set_up

BUCKET = "acme-scalecast"
STACK = "scalecast-storage"
KEPT = (MODEL_POINTER, STATE_POINTER, model_key("1.0.0", "manifest.json"))


def keys_of(aws: Aws, role: str) -> dict[str, str]:
    """Credentials of whoever runs with the role, as ECS gives them to a task."""
    return aws.keys[aws.stacks[STACK].outputs[role]]


def variables_of(aws: Aws, role: str) -> dict[str, str]:
    return {**aws.environment(keys_of(aws, role)), "SCALECAST_STORE_URL": f"s3://{BUCKET}"}


def refused(call: Any, **arguments: Any) -> bool:
    """Whether AWS says that this account may not."""
    try:
        call(Bucket=BUCKET, **arguments)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return False


def test_the_bucket_is_versioned_encrypted_closed_and_tidied(aws: Aws) -> None:
    s3 = aws.client("s3")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    closed = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True}
    rules = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert {rule["ID"] for rule in rules if rule["Status"] == "Enabled"} == {
        "replaced-versions", "unfinished-uploads", "output-of-steps", "archived-files",
    }  # fmt: skip


def test_what_is_not_encrypted_on_its_way_is_refused(aws: Aws) -> None:
    """Of the bucket whose policy is left in force; moto cannot judge by its condition."""
    document = json.loads(aws.client("s3").get_bucket_policy(Bucket="acme-ui")["Policy"])
    (statement,) = document["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "s3:*",
    )
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    bucket = "arn:aws:s3:::acme-ui"
    assert statement["Resource"] == [bucket, f"{bucket}/*"]


def test_the_pipelines_role_keeps_the_contract_of_stores(aws: Aws) -> None:
    done = subprocess.run(
        [str(SCALECAST), "setup-store", "--check", "--json"],
        env=variables_of(aws, "PipelineRole"),
        capture_output=True,
        text=True,
        check=False,
    )
    answers = {one["question"]: one["holds"] for one in json.loads(done.stdout)}
    assert answers.pop("Of two writers one wins (If-Match)")
    assert answers.pop("Nobody from outside can be let in")
    assert len(answers) == 8
    assert all(answers.values()), done.stdout
    assert done.returncode == 0


def test_the_pipelines_role_cannot_change_the_bucket(aws: Aws) -> None:
    s3 = aws.client("s3", keys_of(aws, "PipelineRole"))
    assert refused(s3.delete_bucket)
    assert refused(s3.put_bucket_versioning, VersioningConfiguration={"Status": "Suspended"})
    assert refused(s3.delete_public_access_block)
    assert refused(s3.delete_bucket_policy)


def test_the_sidecars_role_reads_what_is_promoted_and_nothing_else(aws: Aws) -> None:
    pipeline = aws.client("s3", keys_of(aws, "PipelineRole"))
    secret = f"raw/{uuid.uuid4().hex}.csv"
    for key in (*KEPT, secret):
        pipeline.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    sidecar = aws.client("s3", keys_of(aws, "SidecarRole"))
    for key in KEPT:
        assert sidecar.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"{}"
    assert refused(sidecar.get_object, Key=secret)
    for key in (*KEPT, secret):
        assert refused(sidecar.put_object, Key=key, Body=b"worse")
        assert refused(sidecar.delete_object, Key=key)
    assert refused(sidecar.put_bucket_versioning, VersioningConfiguration={"Status": "Suspended"})
    assert pipeline.get_object(Bucket=BUCKET, Key=MODEL_POINTER)["Body"].read() == b"{}"
    for key in KEPT:
        pipeline.delete_object(Bucket=BUCKET, Key=key)


def test_a_sidecar_with_its_role_answers_from_what_is_promoted(
    aws: Aws, tmp_path_factory: pytest.TempPathFactory
) -> None:
    port, home = free_port(), tmp_path_factory.mktemp("sidecar")
    environment = {
        **variables_of(aws, "SidecarRole"),
        "SCALECAST_HOME": str(home),
        "SCALECAST_POLL_SECONDS": "1",
    }
    with (home / "log").open("wb") as log:
        sidecar = subprocess.Popen(
            [sys.executable, "-m", "serving", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: fetch(f"{url}/ready")[0] == 503, "not ready yet", 60)
        assert "403" not in (home / "log").read_text()
        set_up(S3Store(aws.client("s3", keys_of(aws, "PipelineRole")), BUCKET), make_world())
        eventually(lambda: fetch(f"{url}/ready")[0] == 200, (home / "log").read_text(), 60)
        status, answer = fetch(f"{url}/predict", asking())
        assert (status, answer["source"]) == (200, "model")
    finally:
        sidecar.terminate()
        sidecar.wait(30)
