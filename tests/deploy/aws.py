"""An AWS with two installations in it, made as docs/deployment.md says: one by its lines as they
are, and one more (``-ui``) with Dagster's UI behind a sign-in.

Once they are made, only those whose policies allow it may still do a thing.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3

from tests.deploy.cloudformation import REGION
from tests.deploy.policies import Statement, as_moto_reads_it, attached
from tests.deploy.template import template
from tests.graph.command import ROOT, eventually, fetch, free_port

ANYBODY = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
SIGN_IN = {
    "UiHost": "dagster.acme.example",
    "OidcIssuer": "https://id.acme.example",
    "OidcAuthorizationEndpoint": "https://id.acme.example/authorize",
    "OidcTokenEndpoint": "https://id.acme.example/token",
    "OidcUserInfoEndpoint": "https://id.acme.example/user",
    "OidcClientId": "scalecast",
    "OidcClientSecretName": "acme-sign-in",
}


@dataclass(frozen=True)
class Deploy:
    """An ``aws cloudformation deploy`` of the documentation; values may be ``…`` there."""

    stack: str
    template: Path
    parameters: dict[str, str]
    capabilities: list[str]


@dataclass(frozen=True)
class Stack:
    outputs: dict[str, str]
    ids: dict[str, str]
    """What ``Ref`` gives of each resource, by its name in the template."""


@dataclass(frozen=True)
class Aws:
    endpoint: str
    administrator: dict[str, str]
    private: list[str] = field(default_factory=list)
    """The subnets of what runs."""
    public: list[str] = field(default_factory=list)
    """Those of the load balancer."""
    stacks: dict[str, Stack] = field(default_factory=dict)
    rights: dict[str, list[Statement]] = field(default_factory=dict)
    """What the policies of each role say, by the role's ARN."""
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    """Credentials of each role, by the role's ARN, as ECS gives them to a task."""
    session: boto3.Session = field(default_factory=boto3.Session, repr=False)

    def client(self, service: str, account: dict[str, str] | None = None) -> Any:
        return self.session.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint,
            region_name=REGION,
            **(account or self.administrator),
        )

    def environment(self, account: dict[str, str]) -> dict[str, str]:
        """A clean environment in which this AWS, and the account, are found."""
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("SCALECAST_", "AWS_"))}
        return {
            **clean,
            **{name.upper(): value for name, value in account.items()},
            "AWS_ENDPOINT_URL": self.endpoint,
            # As Fargate does.
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def container(self, task_definition: str, name: str) -> dict[str, Any]:
        """What the task definition says of one of its containers."""
        described = self.client("ecs").describe_task_definition(taskDefinition=task_definition)
        containers = described["taskDefinition"]["containerDefinitions"]
        (found,) = [one for one in containers if one["name"] == name]
        assert isinstance(found, dict)
        return found


def documented() -> list[Deploy]:
    """What docs/deployment.md has people type, in its order."""
    text = (ROOT / "docs" / "deployment.md").read_text().replace("\\\n", "")
    found = []
    for line in re.findall(r"^aws cloudformation deploy (.*)$", text, re.MULTILINE):
        options: dict[str, list[str]] = {}
        for word in shlex.split(line):
            if word.startswith("--"):
                options[word] = []
            else:
                options[list(options)[-1]].append(word)
        parameters = dict(word.split("=", 1) for word in options.pop("--parameter-overrides"))
        capabilities = options.pop("--capabilities", [])
        (stack,), (file,) = options.pop("--stack-name"), options.pop("--template-file")
        assert not options
        found.append(Deploy(stack, ROOT / file, parameters, capabilities))
    return found


def with_ui(deploys: list[Deploy]) -> list[Deploy]:
    """The same beside it, under other names, and with the UI."""
    names = {one.stack: f"{one.stack}-ui" for one in deploys} | {"acme-scalecast": "acme-ui"}
    found = []
    for one in deploys:
        parameters = {name: names.get(value, value) for name, value in one.parameters.items()}
        found.append(replace(one, stack=names[one.stack], parameters=parameters))
    return [*found[:-1], replace(found[-1], parameters=found[-1].parameters | SIGN_IN)]


@contextmanager
def simulated(folder: Path) -> Iterator[Aws]:
    """The server, with everything made in it."""
    port, log = free_port(), folder / "log"
    with log.open("wb") as written:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.cloudformation", str(port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=written,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        eventually(lambda: fetch(f"{endpoint}/moto-api/data.json")[0] == 200, "moto", 60)
        try:
            made = _make(Aws(endpoint, ANYBODY))
        except Exception as error:
            said = [line for line in log.read_text().splitlines() if '" 200 -' not in line]
            raise AssertionError("\n".join(said[-30:])) from error
        yield made
    finally:
        server.terminate()
        server.wait(30)


def _make(aws: Aws) -> Aws:
    """Everything, and then IAM in force."""
    ec2, iam = aws.client("ec2"), aws.client("iam")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    aws = replace(aws, private=subnets[:2], public=subnets[2:4])
    certificate = aws.client("acm").request_certificate(DomainName="acme.example")
    secret = {"Name": SIGN_IN["OidcClientSecretName"], "SecretString": "told to nobody"}
    aws.client("secretsmanager").create_secret(**secret)
    given = {
        "Vpc": vpc,
        "PrivateSubnets": ",".join(aws.private),
        "LoadBalancerSubnets": ",".join(aws.public),
        "PipelineImage": "registry.example/pipeline@sha256:1",
        "SidecarImage": "registry.example/sidecar@sha256:2",
        "Certificate": certificate["CertificateArn"],
    }
    for deploy in [*documented(), *with_ui(documented())]:
        aws.stacks[deploy.stack] = _deploy(aws.client("cloudformation"), deploy, given)
    arns = {one["RoleName"]: one["Arn"] for one in iam.list_roles()["Roles"]}
    for role, arn in arns.items():
        aws.rights[arn] = attached(iam, role)
        aws.keys[arn] = _assume(aws.client("sts"), arn)
        _let_moto_read(iam, role)
    # Who is not encrypted is refused by a condition, which moto takes for one that always holds.
    aws.client("s3").delete_bucket_policy(Bucket="acme-scalecast")
    administrator = _administrator(iam)
    plain = {"Content-Type": "text/plain"}
    reset = urllib.request.Request(f"{aws.endpoint}/moto-api/reset-auth", b"0", plain)
    urllib.request.urlopen(reset).close()
    return replace(aws, administrator=administrator)


def _deploy(formation: Any, deploy: Deploy, given: dict[str, str]) -> Stack:
    parameters = {
        name: given[name] if "…" in value else value for name, value in deploy.parameters.items()
    }
    formation.create_stack(
        StackName=deploy.stack,
        # Moto's own reader knows no short tag around a mapping.
        TemplateBody=json.dumps(template(deploy.template)),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        Capabilities=deploy.capabilities,
    )
    (stack,) = formation.describe_stacks(StackName=deploy.stack)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    resources = formation.describe_stack_resources(StackName=deploy.stack)["StackResources"]
    return Stack(
        {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]},
        # Of what a condition leaves out moto has an entry without a name.
        {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for one in resources
            if "LogicalResourceId" in one
        },
    )


def _assume(sts: Any, arn: str) -> dict[str, str]:
    given = sts.assume_role(RoleArn=arn, RoleSessionName="task")["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def _let_moto_read(iam: Any, role: str) -> None:
    """Say to moto what it understands of the role's policies; ``rights`` has them whole."""
    document = {
        "Version": "2012-10-17",
        "Statement": [as_moto_reads_it(one) for one in attached(iam, role)],
    }
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    iam.put_role_policy(RoleName=role, PolicyName="all", PolicyDocument=json.dumps(document))


def _administrator(iam: Any) -> dict[str, str]:
    """Keys of somebody who may do everything."""
    iam.create_user(UserName="administrator")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_user_policy(UserName="administrator", PolicyName="everything", PolicyDocument=document)
    key = iam.create_access_key(UserName="administrator")["AccessKey"]
    return {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
