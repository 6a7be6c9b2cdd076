"""Whether a bucket is kept as production needs it: ``scalecast setup-store --check``.

Nothing is changed here. What keeps a bucket so is deploy/aws/storage.yaml, or whoever made it; a
service that does not know one of these settings says so, and its operator judges.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

ABSENT: Final = {
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchLifecycleConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
}
"""What S3 answers where there is no such setting."""


def shortcomings(client: Any, bucket: str) -> dict[str, str]:
    """Ask for each setting; the value is what is wrong with it, empty if nothing is."""
    questions: dict[str, tuple[Callable[..., Mapping[str, Any]], Callable[[Any], str]]] = {
        "What is overwritten is kept as a version": (client.get_bucket_versioning, _versions),
        "Objects are encrypted": (client.get_bucket_encryption, _encrypted),
        "Nobody from outside can be let in": (client.get_public_access_block, _closed),
        "Old versions and unfinished uploads go": (
            client.get_bucket_lifecycle_configuration,
            _tidied,
        ),
    }
    found = {}
    for question, (ask, judge) in questions.items():
        try:
            found[question] = judge(ask(Bucket=bucket))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            found[question] = judge({}) if code in ABSENT else f"the service says {code}"
        except BotoCoreError as error:
            found[question] = str(error)
    return found


def _versions(reply: Mapping[str, Any]) -> str:
    on = reply.get("Status") == "Enabled"
    return "" if on else "no versions are kept: scalecast setup-store --versioning"


def _encrypted(reply: Mapping[str, Any]) -> str:
    rules = reply.get("ServerSideEncryptionConfiguration", {}).get("Rules")
    return "" if rules else "no encryption is set for the bucket"


def _closed(reply: Mapping[str, Any]) -> str:
    given = reply.get("PublicAccessBlockConfiguration", {})
    wanted = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    missing = [name for name in wanted if not given.get(name)]
    return f"the public access block lacks {', '.join(missing)}" if missing else ""


def _tidied(reply: Mapping[str, Any]) -> str:
    rules = [rule for rule in reply.get("Rules", []) if rule.get("Status") == "Enabled"]
    missing = [
        words
        for setting, words in (
            ("NoncurrentVersionExpiration", "old versions"),
            ("AbortIncompleteMultipartUpload", "unfinished uploads"),
        )
        if not any(setting in rule for rule in rules)
    ]
    return f"no lifecycle rule removes {' and '.join(missing)}" if missing else ""
