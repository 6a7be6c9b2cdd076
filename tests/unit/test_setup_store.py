"""``scalecast setup-store`` on both back ends, and on stores that do not keep their word."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scalecast_assets.commands.setup_store import check, refuse_contradiction, set_up, verify
from scalecast_assets.contract.store import DirectoryStore, StoreUnavailable
from scalecast_assets.settings import Settings, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_a_folder_keeps_everything_and_nothing_is_left_behind(tmp_path: Path) -> None:
    answers = set_up(Settings(home=tmp_path), versioning=False)
    assert len(answers) == 5
    assert all(answer.holds for answer in answers)
    assert list(DirectoryStore(tmp_path / "store").list()) == []


def test_a_bucket_is_made_once_and_keeps_versions_if_asked_to(
    s3_client: "S3Client", tmp_path: Path
) -> None:
    name = f"made-{uuid.uuid4().hex[:10]}"
    settings = Settings(home=tmp_path, store_url=f"s3://{name}/below")
    made = set_up(settings, versioning=True)
    assert [a.question for a in made if not a.holds] == []
    assert made[0].detail == "made, versions are kept"
    assert set_up(settings, versioning=False)[0].detail == "is there"
    assert s3_client.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert "Contents" not in s3_client.list_objects_v2(Bucket=name)


def test_an_endpoint_that_is_away_is_one_answer_that_says_so(
    aws_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    (answer,) = set_up(Settings(home=tmp_path, store_url="s3://bucket"), versioning=False)
    assert not answer.holds
    assert "127.0.0.1:1" in answer.detail


LOCAL = "http://store:7070"


@pytest.mark.parametrize(
    ("address", "key", "to_do"),
    [
        (LOCAL, "OWN", None),
        ("", "AKIA", None),
        ("", "", None),
        ("https://s3.example", "theirs", None),
        (LOCAL, "AKIA", "AWS_ENDPOINT_URL= .empty. into .env"),
        (LOCAL, "", "remove AWS_ACCESS_KEY_ID"),
        ("", "OWN", "names AWS, and no key.*leave both empty for the machine's role"),
        ("https://s3.example", "OWN", "names https://s3.example, and no key"),
    ],
)
def test_in_compose_address_and_keys_are_of_one_store(
    address: str, key: str, to_do: str | None
) -> None:
    given = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": key}
    refuse_contradiction(given)  # elsewhere nothing is known of a second key
    refuse_contradiction(given | {"STORE_ACCESS_KEY_ID": "OWN"})  # on the host, out of .env
    told = given | {"STORE_ENDPOINT_URL": LOCAL, "STORE_ACCESS_KEY_ID": "OWN"}
    if to_do is None:
        refuse_contradiction(told)
        return
    with pytest.raises(SettingsError, match=to_do):
        refuse_contradiction(told)


class Careless(DirectoryStore):
    """A store that ignores conditions, as some services that speak S3 do."""

    def put_if_absent(self, key: str, data: bytes) -> str:
        return self.put(key, data)

    def compare_and_swap(self, key: str, data: bytes, etag: str) -> str:
        return self.put(key, data)


class Away(DirectoryStore):
    """A store whose listing cannot be reached."""

    def list(self, prefix: str = "") -> Any:
        raise StoreUnavailable("503 SlowDown")


def test_a_store_that_ignores_conditions_is_found_out(tmp_path: Path) -> None:
    broken = {a.question: a.detail for a in verify(Careless(tmp_path)) if not a.holds}
    assert broken == {
        "An object is created once only (If-None-Match)": "a second writer with If-None-Match was"
        " let through",
        "Of two writers one wins (If-Match)": "a writer with an outdated If-Match was let through",
    }


def test_one_answer_that_fails_does_not_keep_the_others_from_being_asked(tmp_path: Path) -> None:
    answers = verify(Away(tmp_path))
    assert [a.detail for a in answers if not a.holds] == ["503 SlowDown"]
    assert len(answers) == 5


def test_a_bucket_that_was_only_made_is_not_kept_as_production_needs_it(
    s3_client: "S3Client", tmp_path: Path
) -> None:
    name = f"plain-{uuid.uuid4().hex[:10]}"
    settings = Settings(home=tmp_path, store_url=f"s3://{name}")
    (absent,) = check(settings)
    assert not absent.holds
    assert "setup-store" in absent.detail
    set_up(settings, versioning=False)
    before = {a.question: a.detail for a in check(settings) if not a.holds}
    assert before["What is overwritten is kept as a version"].startswith("no versions are kept")
    assert "BlockPublicAcls" in before["Nobody from outside can be let in"]
    assert before["Old versions and unfinished uploads go"] == (
        "no lifecycle rule removes old versions and unfinished uploads"
    )
    assert s3_client.get_bucket_versioning(Bucket=name).get("Status") is None
    set_up(settings, versioning=True)
    after = [a.question for a in check(settings) if not a.holds]
    assert "What is overwritten is kept as a version" not in after


def test_a_folder_has_nothing_of_a_bucket_to_be_asked(tmp_path: Path) -> None:
    answers = check(Settings(home=tmp_path))
    assert [a.question for a in answers] == [a.question for a in verify(DirectoryStore(tmp_path))]
