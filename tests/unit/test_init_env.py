"""``scalecast init-env``: passwords that nobody has, in a file that others cannot read."""

import base64
import hashlib
import re
import stat
from pathlib import Path

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
    """After an upgrade that asks for one password more."""
    file = tmp_path / ".env"
    before = "# mine\nexport POSTGRES_PASSWORD=the only copy\nUI_PASSWORD_SHA=its hash"
    file.write_text(before)
    added = write_env(file)
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
