"""The lines that docs/deployment.md has an operator type, held to the templates and AWS's API."""

import json
import re
import shlex
from typing import Any

import boto3
import pytest
from botocore import xform_name

from tests.deploy.aws import SIGN_IN, Aws, Deploy, documented
from tests.deploy.template import template
from tests.graph.command import ROOT

FOLDER = ROOT / "deploy" / "aws"


def test_there_is_a_line_for_each_template_in_the_order_of_what_they_import() -> None:
    deploys = documented()
    assert {one.template for one in deploys} == set(FOLDER.glob("*.yaml")) - {
        FOLDER / "dagster.yaml"
    }
    there: list[str] = []
    for one in deploys:
        for name, value in one.parameters.items():
            assert not name.endswith("Stack") or value in there, f"{one.stack} before {value}"
        there.append(one.stack)


@pytest.mark.parametrize("deploy", documented(), ids=lambda one: one.stack)
def test_each_line_gives_what_its_template_asks_for_and_nothing_else(deploy: Deploy) -> None:
    found = template(deploy.template)
    required = {name for name, one in found["Parameters"].items() if "Default" not in one}
    assert required <= set(deploy.parameters) <= set(found["Parameters"])
    makes_roles = any(one["Type"].startswith("AWS::IAM::") for one in found["Resources"].values())
    assert deploy.capabilities == (["CAPABILITY_IAM"] if makes_roles else [])


def test_the_sign_in_has_every_parameter_that_the_template_has_for_it() -> None:
    found = template(FOLDER / "services.yaml")["Parameters"]
    assert set(SIGN_IN) == {name for name in found if name.startswith(("Oidc", "UiHost"))}


def test_everything_a_template_names_is_made_and_what_a_condition_leaves_out_is_not(
    aws: Aws,
) -> None:
    for one in documented():
        resources: dict[str, Any] = template(one.template)["Resources"]
        conditional = {name for name, given in resources.items() if "Condition" in given}
        assert set(aws.stacks[one.stack].ids) == set(resources) - conditional
        assert set(aws.stacks[f"{one.stack}-ui"].ids) == set(resources)


def test_a_command_by_hand_names_the_task_and_the_container_that_there_are(aws: Aws) -> None:
    text = (ROOT / "docs" / "deployment.md").read_text().replace("\\\n", "")
    (line,) = re.findall(r"^aws ecs run-task (.*)$", text, re.MULTILINE)
    words = shlex.split(line)
    options = dict(zip(words[::2], words[1::2], strict=True))
    shape = boto3.client("ecs", region_name="us-east-1").meta.service_model.shape_for(
        "RunTaskRequest"
    )
    known = {"--" + xform_name(name, "-") for name in shape.members}
    assert set(options) <= known
    overrides = json.loads(options["--overrides"])["containerOverrides"]
    container = aws.container(options["--task-definition"], overrides[0]["name"])
    assert container["command"][0] == overrides[0]["command"][0] == "scalecast"
