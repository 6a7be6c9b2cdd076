"""IAM's judgement of a call, for what moto's leaves out.

Moto tells services' actions apart, and the bucket and the key of S3's. Of the other services it
knows no resource, and it takes a condition that it does not know for one that never holds.
"""

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

Statement = dict[str, Any]


def statements(document: Any) -> list[Statement]:
    """The statements of a policy, as IAM gives its document: data, JSON, or JSON in an URL."""
    found = json.loads(unquote(document)) if isinstance(document, str) else document
    return list(found["Statement"])


def attached(iam: Any, role: str) -> list[Statement]:
    """All statements of the policies that the role has."""
    found: list[Statement] = []
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        given = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        found += statements(given["Document"])
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        given = iam.get_role_policy(RoleName=role, PolicyName=name)
        found += statements(given["PolicyDocument"])
    return found


def allows(given: Iterable[Statement], action: str, resource: str, **context: str) -> bool:
    """Whether the statements allow the action; ``context`` has condition keys, ``:`` as ``__``."""
    known = {key.replace("__", ":"): value for key, value in context.items()}
    effects = {one["Effect"] for one in given if _speaks_of(one, action, resource, known)}
    return effects == {"Allow"}


def _speaks_of(given: Statement, action: str, resource: str, context: dict[str, str]) -> bool:
    for operator, keys in given.get("Condition", {}).items():
        assert operator in ("StringEquals", "ArnEquals"), operator
        if any(not _fits(value, context.get(key, "")) for key, value in keys.items()):
            return False
    return _fits(given["Action"], action) and _fits(given["Resource"], resource)


def _fits(patterns: str | list[str], value: str) -> bool:
    several = patterns if isinstance(patterns, list) else [patterns]
    expressions = [re.escape(one).replace(r"\*", ".*").replace(r"\?", ".") for one in several]
    return any(re.fullmatch(one, value) for one in expressions)


def as_moto_reads_it(given: Statement) -> Statement:
    """The statement with what moto cannot tell left out: actions alone, but for S3."""
    actions = given["Action"] if isinstance(given["Action"], list) else [given["Action"]]
    # To AWS, HeadBucket is ListBucket; moto has a name of its own for it.
    heads = ["s3:HeadBucket"] if "s3:ListBucket" in actions else []
    simple = {"Effect": given["Effect"], "Action": [*actions, *heads]}
    of_s3 = all(action.startswith("s3:") for action in actions)
    return simple | {"Resource": given["Resource"] if of_s3 else "*"}
