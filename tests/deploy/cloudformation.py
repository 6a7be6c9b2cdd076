"""A template as data, and the calls that CloudFormation makes for its bucket.

Moto's CloudFormation makes the bucket and the roles, and leaves out most of what the template says
about them; here the same is asked of its S3 and IAM, from the template's own properties.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads ``!Ref x`` as ``{"Ref": "x"}`` and ``!Sub x`` as ``{"Fn::Sub": "x"}``."""


def _tagged(loader: _Loader, suffix: str, node: Any) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tagged)


def template(path: Path) -> dict[str, Any]:
    """The template, with its short tags written out."""
    found = yaml.load(path.read_text(), Loader=_Loader)
    assert isinstance(found, dict)
    return found


def resolved(node: Any, names: dict[str, str]) -> Any:
    """References replaced by what ``names`` has for them; conditions taken as false."""
    if isinstance(node, list):
        found = (resolved(one, names) for one in node)
        return [one for one in found if one != {"Ref": "AWS::NoValue"}]
    if not isinstance(node, dict):
        return node
    if set(node) == {"Ref"} and node["Ref"] in names:
        return names[node["Ref"]]
    if set(node) == {"Fn::Sub"}:
        return re.sub(r"\$\{([\w:]+)\}", lambda found: names[found[1]], node["Fn::Sub"])
    if set(node) == {"Fn::If"}:
        return resolved(node["Fn::If"][2], names)
    return {key: resolved(value, names) for key, value in node.items()}


def keep_bucket(s3: Any, properties: dict[str, Any]) -> None:
    """Set what the properties of an ``AWS::S3::Bucket`` say."""
    bucket = properties["BucketName"]
    s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration=properties["VersioningConfiguration"]
    )
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"],
    )
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
        },
    )


def _rule(given: dict[str, Any]) -> dict[str, Any]:
    """A lifecycle rule as S3 has it, whose names CloudFormation changes."""
    rule: dict[str, Any] = {
        "ID": given["Id"],
        "Status": given["Status"],
        "Filter": {"Prefix": given.get("Prefix", "")},
    }
    if "ExpirationInDays" in given:
        rule["Expiration"] = {"Days": given["ExpirationInDays"]}
    if "ExpiredObjectDeleteMarker" in given:
        rule["Expiration"] = {"ExpiredObjectDeleteMarker": given["ExpiredObjectDeleteMarker"]}
    if "Transitions" in given:
        rule["Transitions"] = [
            {"StorageClass": one["StorageClass"], "Days": one["TransitionInDays"]}
            for one in given["Transitions"]
        ]
    for name in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if name in given:
            rule[name] = given[name]
    return rule


def allow_roles(iam: Any, resources: dict[str, Any], roles: dict[str, str]) -> None:
    """Give each role the policies that its ``ManagedPolicyArns`` refer to."""
    for role, name in roles.items():
        for reference in resources[role]["Properties"]["ManagedPolicyArns"]:
            document = resources[reference["Ref"]]["Properties"]["PolicyDocument"]
            for statement in document["Statement"]:
                actions = statement["Action"]
                actions = actions if isinstance(actions, list) else [actions]
                # To AWS, HeadBucket is ListBucket; moto has a name of its own for it.
                heads = ["s3:HeadBucket"] if "s3:ListBucket" in actions else []
                statement["Action"] = [*actions, *heads]
            iam.put_role_policy(
                RoleName=name, PolicyName=reference["Ref"], PolicyDocument=json.dumps(document)
            )
