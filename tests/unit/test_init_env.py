"""``scalecast init-env``: passwords that nobody has, in a file that others cannot read."""

import base64
import hashlib
import re
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from scalecast_assets.commands.init_env import write_env
from serving.keys import KeyRing

ROOT = Path(__file__).resolve().parents[2]


def test_every_variable_that_compose_asks_for_is_in_the_file(tmp_path: Path) -> None:
    write_env(tmp_path / ".env")
    given = dotenv_values(tmp_path / ".env")
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert asked
    assert {name for name in asked if not given.get(name)} == set()


def test_only_its_owner_may_read_it_and_no_two_are_alike(tmp_path: Path) -> None:
    write_env(tmp_path / "one")
    write_env(tmp_path / "two")
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    one, two = dotenv_values(tmp_path / "one"), dotenv_values(tmp_path / "two")
    same = {name for name in one if one[name] == two[name]}
    assert same == set()
    assert len(one["POSTGRES_PASSWORD"] or "") >= 32


def test_the_password_for_people_is_the_one_whose_hash_the_proxy_gets(tmp_path: Path) -> None:
    write_env(tmp_path / ".env")
    text = (tmp_path / ".env").read_text()
    said = re.search(r'name "operator", password (\S+)', text)
    assert said is not None
    digest = base64.b64encode(hashlib.sha1(said[1].encode()).digest()).decode()
    assert dotenv_values(tmp_path / ".env")["UI_PASSWORD_SHA"] == "{SHA}" + digest


def test_what_a_file_lacks_is_added_and_nothing_in_it_is_changed(tmp_path: Path) -> None:
    """After an upgrade that asks for more."""
    file = tmp_path / ".env"
    before = "# mine\nexport POSTGRES_PASSWORD=the only copy\nUI_PASSWORD_SHA=its hash"
    file.write_text(before)
    file.chmod(0o644)
    added = write_env(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "READER_PASSWORD" in added
    assert not {"POSTGRES_PASSWORD", "UI_PASSWORD_SHA"} & set(added)
    assert file.read_text().startswith(f"{before}\n\n")
    assert 'name "operator"' not in file.read_text()  # of a password that is not the one in force
    given = dotenv_values(file)
    assert given["POSTGRES_PASSWORD"] == "the only copy"
    assert all(given[name] for name in added)
    after = file.read_text()
    assert write_env(file) == []
    assert file.read_text() == after


def test_the_key_of_metrics_is_the_one_that_the_sidecars_let_in(tmp_path: Path) -> None:
    write_env(tmp_path / ".env")
    given = dotenv_values(tmp_path / ".env")
    ring = KeyRing("", None, f"prometheus:{given['METRICS_KEY_SHA256']}")
    presented = (given["METRICS_KEY"] or "").encode()
    assert ring.owner_of(presented, for_metrics=True) == "prometheus"


@pytest.mark.parametrize("empty", ["", "''", '""', "  # to be filled in"])
def test_a_name_without_a_value_gets_one(tmp_path: Path, empty: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"POSTGRES_PASSWORD={empty}\nGRAFANA_PASSWORD='mine' # of 2024\n")
    added = write_env(file)
    assert "POSTGRES_PASSWORD" in added
    given = dotenv_values(file)
    assert len(given["POSTGRES_PASSWORD"] or "") >= 32
    assert given["GRAFANA_PASSWORD"] == "mine"
    assert write_env(file) == []


@pytest.mark.parametrize("lost", ["METRICS_KEY", "METRICS_KEY_SHA256"])
def test_the_key_of_metrics_and_its_hash_fit_whichever_was_lost(tmp_path: Path, lost: str) -> None:
    file = tmp_path / ".env"
    write_env(file)
    before = dotenv_values(file)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(f"{lost}=")))
    added = write_env(file)
    given = dotenv_values(file)
    key, digest = given["METRICS_KEY"] or "", given["METRICS_KEY_SHA256"]
    assert hashlib.sha256(key.encode()).hexdigest() == digest
    if lost == "METRICS_KEY":  # its hash does not give it back
        assert added == ["METRICS_KEY", "METRICS_KEY_SHA256"]
    else:
        assert added == [lost]
        assert dict(given) == dict(before)


@pytest.mark.parametrize("elsewhere", ["AWS_ENDPOINT_URL=", "SCALECAST_STORE_URL=s3://theirs"])
def test_keys_of_another_store_do_not_become_those_of_the_store_here(
    tmp_path: Path, elsewhere: str
) -> None:
    file = tmp_path / ".env"
    file.write_text(f"AWS_ACCESS_KEY_ID=theirs\nAWS_SECRET_ACCESS_KEY=secret\n{elsewhere}\n")
    write_env(file)
    given = dotenv_values(file)
    assert given["STORE_ACCESS_KEY_ID"] != "theirs"
    assert given["STORE_SECRET_ACCESS_KEY"] != "secret"
