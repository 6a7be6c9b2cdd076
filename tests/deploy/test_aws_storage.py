"""deploy/aws/storage.yaml made for real, by an AWS that enforces its policies (moto's).

The bucket that it makes keeps the store's contract; the pipeline can do what it needs to, the
sidecar can read what is promoted and nothing more.
"""

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER, model_key
from scalecast_assets.contract.s3_store import S3Store
from tests.deploy.cloudformation import allow_roles, keep_bucket, resolved, template
from tests.graph.command import ROOT, SCALECAST, eventually, fetch, free_port
from tests.serving.makers import asking, make_world, set_up

STORAGE = ROOT / "deploy" / "aws" / "storage.yaml"
BUCKET = "acme-scalecast"
NAMES = {"BucketName": BUCKET, "Bucket": BUCKET, "AWS::Partition": "aws"}
KEPT = (MODEL_POINTER, STATE_POINTER, model_key("1.0.0", "manifest.json"))


@dataclass(frozen=True)
class Aws:
    endpoint: str
    administrator: dict[str, str]
    roles: dict[str, dict[str, str]] = field(default_factory=dict)
    """The keys of the stack's roles."""

    def client(self, service: str, account: dict[str, str] | None = None) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            **(account or self.administrator),
        )

    def assume(self, arn: str) -> dict[str, str]:
        """Keys of whoever runs with the role, as ECS gets them for a task."""
        given = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")
        return {
            "aws_access_key_id": given["Credentials"]["AccessKeyId"],
            "aws_secret_access_key": given["Credentials"]["SecretAccessKey"],
            "aws_session_token": given["Credentials"]["SessionToken"],
        }

    def environment(self, account: dict[str, str]) -> dict[str, str]:
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("SCALECAST_", "AWS_"))}
        return {
            **clean,
            **{name.upper(): value for name, value in account.items()},
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "SCALECAST_STORE_URL": f"s3://{BUCKET}",
        }


def make_stack(aws: Aws) -> dict[str, dict[str, str]]:
    """Create the stack, and what moto's CloudFormation leaves out; return its roles' keys."""
    resources = resolved(template(STORAGE)["Resources"], NAMES)
    formation = aws.client("cloudformation")
    formation.create_stack(
        StackName="storage",
        TemplateBody=STORAGE.read_text(),
        Parameters=[{"ParameterKey": "BucketName", "ParameterValue": BUCKET}],
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = formation.describe_stacks(StackName="storage")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    made = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    keep_bucket(aws.client("s3"), resources["Bucket"]["Properties"])
    roles = {role: made[role].rpartition("/")[2] for role in ("PipelineRole", "SidecarRole")}
    allow_roles(aws.client("iam"), resources, roles)
    return {role: aws.assume(made[role]) for role in roles}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """An AWS of its own, since whether policies count is one switch for all of it."""
    port = free_port()
    with (tmp_path_factory.mktemp("aws") / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        eventually(lambda: fetch(f"{endpoint}/moto-api/data.json")[0] == 200, "moto", 60)
        anybody = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        iam = Aws(endpoint, anybody).client("iam")
        iam.create_user(UserName="administrator")
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_user_policy(
            UserName="administrator", PolicyName="everything", PolicyDocument=document
        )
        key = iam.create_access_key(UserName="administrator")["AccessKey"]
        roles = make_stack(Aws(endpoint, anybody))
        plain = {"Content-Type": "text/plain"}
        reset = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", b"0", plain)
        urllib.request.urlopen(reset).close()
        yield Aws(
            endpoint,
            {
                "aws_access_key_id": key["AccessKeyId"],
                "aws_secret_access_key": key["SecretAccessKey"],
            },
            roles,
        )
    finally:
        server.terminate()
        server.wait(30)


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


def test_what_is_not_encrypted_on_its_way_is_refused() -> None:
    """Only read: moto takes a condition that it does not know for one that never holds."""
    resources = resolved(template(STORAGE)["Resources"], NAMES)
    (statement,) = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "s3:*",
    )
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    bucket = f"arn:aws:s3:::{BUCKET}"
    assert statement["Resource"] == [bucket, f"{bucket}/*"]


def test_the_pipelines_role_keeps_the_contract_of_stores(aws: Aws) -> None:
    done = subprocess.run(
        [str(SCALECAST), "setup-store", "--check", "--json"],
        env=aws.environment(aws.roles["PipelineRole"]),
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
    s3 = aws.client("s3", aws.roles["PipelineRole"])
    assert refused(s3.delete_bucket)
    assert refused(s3.put_bucket_versioning, VersioningConfiguration={"Status": "Suspended"})
    assert refused(s3.delete_public_access_block)
    assert refused(s3.delete_bucket_policy)


def test_the_sidecars_role_reads_what_is_promoted_and_nothing_else(aws: Aws) -> None:
    pipeline = aws.client("s3", aws.roles["PipelineRole"])
    secret = f"raw/{uuid.uuid4().hex}.csv"
    for key in (*KEPT, secret):
        pipeline.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    sidecar = aws.client("s3", aws.roles["SidecarRole"])
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
        **aws.environment(aws.roles["SidecarRole"]),
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
        set_up(S3Store(aws.client("s3", aws.roles["PipelineRole"]), BUCKET), make_world())
        eventually(lambda: fetch(f"{url}/ready")[0] == 200, (home / "log").read_text(), 60)
        status, answer = fetch(f"{url}/predict", asking())
        assert (status, answer["source"]) == (200, "model")
    finally:
        sidecar.terminate()
        sidecar.wait(30)
