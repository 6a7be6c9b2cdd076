"""A moto server whose CloudFormation makes all of what deploy/aws asks for.

Moto's own reads a template well: parameters, conditions, references, imports and exports, the order
of dependencies. What it then makes of a resource has lost most of its properties: a task definition
has no role, a database no subnets, and secrets it does not know at all. So each type of resource
that the templates use is made anew in ``resources.py``, by the calls that CloudFormation itself
makes, over HTTP at this very server; botocore refuses there any property that AWS does not know.

Run as a program: ``python -m tests.deploy.cloudformation PORT``.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.cloudformation import parsing  # noqa: F401  # loads moto's models, which ours replace
from moto.core.common_models import CloudFormationModel
from moto.server import main

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's, unless told otherwise
REFERENCE = re.compile(r"\{\{resolve:secretsmanager:(.+?)\}\}")


@dataclass
class Made:
    """What ``Ref`` and ``GetAtt`` give of a resource. Moto notes on it which one it is."""

    physical_resource_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    def is_created(self) -> bool:
        return True


Maker = Callable[[str, dict[str, Any]], Made]
"""Makes a resource of the name CloudFormation has for it, and of its resolved properties."""


def client(service: str) -> Any:
    """A client of this server."""
    return boto3.client(service)  # type: ignore[call-overload]


def makes(kind: str) -> Callable[[Maker], Maker]:
    """Have resources of this type made by the function."""

    def register(make: Maker) -> Maker:
        def create(
            _cls: type, /, name: str, resource: dict[str, Any], account: str, region: str, **_: Any
        ) -> Made:
            return make(name, settled(resource["Properties"]))

        model = type(
            kind,
            (CloudFormationModel,),
            {
                "cloudformation_type": staticmethod(lambda: kind),
                "cloudformation_name_type": staticmethod(lambda: ""),
                "has_cfn_attr": classmethod(lambda cls, attribute: True),
                "create_from_cloudformation_json": classmethod(create),
            },
        )
        MODELS.append(model)
        return make

    return register


MODELS: list[type] = []
"""Moto finds them as subclasses, of which Python keeps no hold."""


def settled(node: Any) -> Any:
    """Without what is not to be there (``AWS::NoValue``), and with secrets for their names."""
    if isinstance(node, list):
        return [settled(one) for one in node if one is not None]
    if isinstance(node, dict):
        return {key: settled(value) for key, value in node.items() if value is not None}
    if isinstance(node, str):
        return REFERENCE.sub(lambda found: secret(found[1]), node)
    return node


def secret(name: str) -> str:
    """The value of a secret, by its name or ARN."""
    return str(client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


if __name__ == "__main__":
    port = sys.argv[1]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "cloudformation",
        "AWS_SECRET_ACCESS_KEY": "cloudformation",
        # The execution role has one of AWS's own policies.
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    }
    from tests.deploy import resources  # noqa: F401

    main(["-H", "127.0.0.1", "-p", port])
