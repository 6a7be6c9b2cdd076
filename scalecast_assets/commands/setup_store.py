"""``scalecast setup-store``: the bucket made, and asked whether it keeps what promotion relies on.

What it asks is what ``contract/`` needs of any store: strong listing, conditional writes, streams.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from rich.markup import escape

from scalecast_assets.commands.terminal import console_for, hung
from scalecast_assets.contract.store import ObjectStore, PreconditionFailed, S3Store, StoreError
from scalecast_assets.resources.configured import store_of, store_resource
from scalecast_assets.resources.reader_role import READER, ensure_reader
from scalecast_assets.runtime import Runtime
from scalecast_assets.settings import Settings, SettingsError

PROBE: Final = "probe"
"""The folder of the objects that are written, and taken away again."""


@dataclass(frozen=True)
class Answer:
    """What was asked of the store, and what it said."""

    question: str
    holds: bool
    detail: str = ""


def set_up(settings: Settings, *, versioning: bool) -> list[Answer]:
    """Make the bucket if it is not there, then ask everything; only what was asked is written."""
    store = store_of(settings)
    answers = [_bucket(settings, versioning)] if isinstance(store, S3Store) else []
    if all(answer.holds for answer in answers):
        answers += verify(store)
    return answers


def set_up_database(runtime: Runtime) -> list[Answer]:
    """Bring Dagster's own tables up to date, and make the role that only reads if it is asked for.

    ScaleCast's schemas are there by now. Dagster never upgrades its tables unless it is told to.
    """
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        instance.upgrade()
    answers = [Answer("Dagster's tables", True, f"as Dagster {dg.__version__} has them")]
    password = runtime.settings.reader_password
    if password is not None:
        with psycopg.connect(runtime.database_url) as connection:
            ensure_reader(connection, password.get_secret_value())
        answers.append(Answer(f"Role {READER}", True, "reads everything, writes nothing"))
    return answers


def refuse_contradiction(environment: Mapping[str, str]) -> None:
    """See that address and keys are of one store, as far as docker-compose.yml can tell.

    It says where its own store is and which key that has; elsewhere there is nothing to compare,
    although a ``.env`` beside it names the key.

    Raises:
        SettingsError: saying which variables to write.
    """
    own_key = environment.get("STORE_ACCESS_KEY_ID")
    own_address = environment.get("STORE_ENDPOINT_URL")
    if own_key is None or own_address is None:
        return
    is_own_key = environment.get("AWS_ACCESS_KEY_ID") == own_key
    address = environment.get("AWS_ENDPOINT_URL")
    is_own_address = address == own_address
    if is_own_address and not is_own_key:
        raise SettingsError(
            f"AWS_ACCESS_KEY_ID is set, and the store is that of docker-compose.yml ({address}), "
            "which has a key of its own. For AWS write AWS_ENDPOINT_URL= (empty) into .env, for "
            "another service its address; for the store here remove AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if is_own_key and not is_own_address:
        raise SettingsError(
            f"AWS_ENDPOINT_URL names {address or 'AWS'}, and no key for it is set, only that of "
            "the store in docker-compose.yml. Write AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "into .env; leave both empty for the machine's role"
        )


def check(settings: Settings) -> list[Answer]:
    """Make nothing; ask everything, and a bucket besides whether it is kept as it should be."""
    from botocore.exceptions import BotoCoreError, ClientError

    from scalecast_assets.commands.bucket_check import shortcomings

    store = store_of(settings)
    if not isinstance(store, S3Store):
        return verify(store)
    name = urlsplit(settings.resolved_store_url).netloc
    client = store_resource(settings).client()
    try:
        client.head_bucket(Bucket=name)
    except (BotoCoreError, ClientError) as error:
        return [Answer(f"Bucket {name}", False, f"{error}. `scalecast setup-store` makes it")]
    found = shortcomings(client, name)
    kept = [Answer(question, not problem, problem) for question, problem in found.items()]
    return [Answer(f"Bucket {name}", True, "is there"), *verify(store), *kept]


def verify(store: ObjectStore) -> list[Answer]:
    """Ask the store for each thing that ScaleCast relies on, on objects of its own."""
    folder = f"{PROBE}/{uuid.uuid4().hex}"
    try:
        return list(_asked(store, folder))
    finally:
        for name in ("one", "once", "swapped", "copied"):
            with contextlib.suppress(StoreError):  # what was asked says what is wrong with it
                store.delete(f"{folder}/{name}")


def _asked(store: ObjectStore, folder: str) -> Iterator[Answer]:
    def reads_back() -> str:
        store.put(f"{folder}/one", b"one")
        return "" if store.get(f"{folder}/one").body == b"one" else "other bytes came back"

    def lists_at_once() -> str:
        found = [info.key for info in store.list(f"{folder}/")]
        return "" if f"{folder}/one" in found else f"the listing shows {found}"

    def creates_once() -> str:
        store.put_if_absent(f"{folder}/once", b"1")
        return _refused(
            lambda: store.put_if_absent(f"{folder}/once", b"2"),
            "a second writer with If-None-Match was let through",
        )

    def swaps() -> str:
        old = store.put(f"{folder}/swapped", b"1")
        store.compare_and_swap(f"{folder}/swapped", b"2", old)
        return _refused(
            lambda: store.compare_and_swap(f"{folder}/swapped", b"3", old),
            "a writer with an outdated If-Match was let through",
        )

    def copies() -> str:
        store.copy(f"{folder}/one", f"{folder}/copied")
        return "" if store.get(f"{folder}/copied").body == b"one" else "the copy differs"

    questions: dict[str, Callable[[], str]] = {
        "What is written is read back": reads_back,
        "What is written is listed at once": lists_at_once,
        "An object is created once only (If-None-Match)": creates_once,
        "Of two writers one wins (If-Match)": swaps,
        "Objects are copied inside the store": copies,
    }
    for question, ask in questions.items():
        try:
            problem = ask()
        except StoreError as error:
            problem = str(error)
        yield Answer(question, not problem, problem)


def _refused(write: Callable[[], object], otherwise: str) -> str:
    try:
        write()
    except PreconditionFailed:
        return ""
    return otherwise


def _bucket(settings: Settings, versioning: bool) -> Answer:
    """Make the bucket, or find it; then have it keep the versions of what is overwritten."""
    name = urlsplit(settings.resolved_store_url).netloc
    client = store_resource(settings).client()
    try:
        made = _ensure_bucket(client, name)
        if versioning:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    except Exception as error:  # boto3's errors have no common class that names the service
        return Answer(f"Bucket {name}", False, f"{type(error).__name__}: {error}")
    kept = ", versions are kept" if versioning else ""
    return Answer(f"Bucket {name}", True, ("made" if made else "is there") + kept)


def _ensure_bucket(client: Any, name: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        client.head_bucket(Bucket=name)
        return False
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket", "NotFound"):
            raise
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    elsewhere = region not in (None, "", "us-east-1")
    client.create_bucket(
        Bucket=name,
        **({"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}),
    )
    return True


def print_answers(answers: Sequence[Answer]) -> None:
    """Print one line for each thing that was asked."""
    console = console_for()
    for answer in answers:
        mark = "[green]✓[/]" if answer.holds else "[red]✗[/]"
        detail = f": {answer.detail}" if answer.detail else ""
        said = hung(answer.question + detail, console, first=4, indent=4)
        console.print(f"  {mark} {escape(said)}")
