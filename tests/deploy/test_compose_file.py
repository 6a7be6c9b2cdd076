"""What docker-compose.yml says of every container: confined, watched, limited, no passwords."""

import re
from copy import deepcopy
from pathlib import Path

import pytest

from scalecast_assets.commands.init_env import write_env
from tests.deploy.compose import COMPOSE, MADE, SERVICES, environment_of, filled_in
from tests.graph.command import ROOT

ONCE = {"setup", "store-folder"}
"""Run to their end at each start; all others stay."""
BUILT = {"scalecast-pipeline": "pipeline.Dockerfile", "scalecast-serving": "serving.Dockerfile"}

every_service = pytest.mark.parametrize("name", list(SERVICES))


@every_service
def test_a_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    if name == "store-folder":
        assert (service["user"], service["network_mode"]) == ("0:0", "none")
        assert set(service["cap_add"]) == {"CHOWN", "DAC_OVERRIDE"}
    else:
        assert "cap_add" not in service
        assert service["user"].partition(":")[0] not in ("", "0", "root")


@every_service
def test_a_container_has_limits_and_is_started_again(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    # An engine starts nothing that may have more than there is.
    assert float(filled_in(limits["cpus"], {})) <= 2
    expected = {"setup": "on-failure:3", "store-folder": "no"}
    assert SERVICES[name]["restart"] == expected.get(name, "unless-stopped")
    assert "max-size" in SERVICES[name]["logging"]["options"]


@every_service
def test_a_container_that_stays_has_a_health_check(name: str) -> None:
    image = SERVICES[name]["image"]
    if name in ONCE:
        assert "healthcheck" not in SERVICES[name]
    elif "healthcheck" not in SERVICES[name]:
        assert "HEALTHCHECK " in (ROOT / "deploy" / BUILT[image]).read_text()


@every_service
def test_an_image_is_built_here_or_pinned_by_its_digest(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["build"]["dockerfile"] == f"deploy/{BUILT[service['image']]}"
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]+@sha256:[0-9a-f]{64}", service["image"])


@every_service
def test_what_a_container_writes_is_in_a_volume_that_has_a_name(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = filled_in(volume, {}).partition(":")
        if source == "/dev/null":
            assert rest.endswith(":ro"), volume  # a file that the user may name
        elif source.startswith("."):
            assert rest.endswith(":ro"), volume
            assert (ROOT / source).is_dir(), volume
        else:
            assert source in COMPOSE["volumes"], volume


def test_the_start_has_an_order_without_a_circle() -> None:
    def conditions(name: str) -> dict[str, str]:
        given = SERVICES[name].get("depends_on", {})
        return {needed: entry["condition"] for needed, entry in given.items()}

    started: list[str] = []
    while waiting := [name for name in SERVICES if name not in started]:
        ready = [name for name in waiting if set(conditions(name)) <= set(started)]
        assert ready, f"each waits for another: {waiting}"
        started += ready
    assert started.index("postgres") < started.index("setup") < started.index("code")
    assert conditions("setup") == dict.fromkeys(("postgres", "store"), "service_healthy")
    assert conditions("code") == {"setup": "service_completed_successfully"}
    # Forecasts wait for nothing: the sidecars have kept what they served last.
    assert conditions("api-1") == conditions("api-2") == conditions("proxy") == {}
    for name in ("webserver", "webserver-read-only", "daemon"):
        assert conditions(name) == {"code": "service_healthy"}
    for name in SERVICES:
        for needed, condition in conditions(name).items():
            assert (condition == "service_completed_successfully") == (needed in ONCE)


def test_no_password_has_a_default_and_init_env_makes_them_all(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    needed = set(re.findall(r"\$\{(\w+):\?", text))
    write_env(tmp_path / ".env")
    lines = (tmp_path / ".env").read_text().splitlines()
    made = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    assert needed == {
        "POSTGRES_PASSWORD", "STORE_ACCESS_KEY_ID", "STORE_SECRET_ACCESS_KEY", "GRAFANA_PASSWORD",
        "UI_PASSWORD_SHA", "READER_PASSWORD", "METRICS_KEY", "METRICS_KEY_SHA256",
    }  # fmt: skip
    assert all(len(made[name]) >= 16 for name in needed)
    with pytest.raises(AssertionError, match="run scalecast init-env"):
        filled_in(text, {})
    for name, default in re.findall(r"\$\{(\w+):?-([^}]*)", text):
        secret = re.search("PASSWORD|SECRET|KEY", name) and name != "SCALECAST_API_KEYS_FILE"
        assert not secret or default == "" or default.startswith("${"), f"{name}: {default}"


def test_ports_are_on_loopback_unless_asked_otherwise_and_the_ui_only_behind_the_proxy() -> None:
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == {"postgres", "store", "proxy", "grafana"}
    for name in published:
        for port in SERVICES[name]["ports"]:
            assert filled_in(port, {}).startswith("127.0.0.1:"), f"{name}: {port}"


def test_two_sidecars_differ_in_their_volume_alone_and_both_are_known_to_proxy_and_prometheus() -> (
    None
):
    sidecars = [name for name in SERVICES if SERVICES[name]["image"] == "scalecast-serving"]
    assert len(sidecars) == 2
    one, other = (deepcopy(SERVICES[name]) for name in sidecars)
    assert (one["volumes"].pop(0), other["volumes"].pop(0)) == (
        "kept-1:/var/lib/scalecast",
        "kept-2:/var/lib/scalecast",
    )
    assert one == other
    assert one["networks"]["edge"]["aliases"] == ["api"]
    proxy = (ROOT / "deploy" / "nginx" / "scalecast.conf.template").read_text()
    assert "http://api:8000;" in proxy
    prometheus = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    assert re.findall(r"(api-\d):8000", prometheus) == sidecars


REACHED = {
    "api-1": {"api-2", "proxy", "prometheus", "store"},
    "api-2": {"api-1", "proxy", "prometheus", "store"},
    "proxy": {"api-1", "api-2", "webserver", "webserver-read-only"},
    "prometheus": {"api-1", "api-2", "grafana", "postgres"},
    "grafana": {"prometheus", "postgres"},
    "store-folder": set(),
}
"""With whom a container shares a network, and so may reach any port."""


def test_only_who_needs_another_reaches_it() -> None:
    def networks(name: str) -> set[str]:
        return set(SERVICES[name].get("networks", []))

    assert {name for name in SERVICES if not networks(name)} == {"store-folder"}
    assert set().union(*map(networks, SERVICES)) == set(COMPOSE["networks"])
    for name, expected in REACHED.items():
        reached = {
            other for other in SERVICES if other != name and networks(name) & networks(other)
        }
        assert reached == expected, name


@pytest.mark.parametrize(
    ("written", "pipeline", "sidecar"),
    [
        ({}, ("http://store:7070", "own key", "own secret"), None),
        (
            {"AWS_ENDPOINT_URL": "", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"},
            ("", "k", "s"),
            None,
        ),
        (
            {"AWS_ENDPOINT_URL": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            ("", "", ""),
            None,
        ),
        (
            {"SIDECAR_AWS_ACCESS_KEY_ID": "r", "SIDECAR_AWS_SECRET_ACCESS_KEY": "rs"},
            ("http://store:7070", "own key", "own secret"),
            ("http://store:7070", "r", "rs"),
        ),
    ],
)
def test_keys_of_aws_never_become_those_of_the_store_here(
    written: dict[str, str], pipeline: tuple[str, ...], sidecar: tuple[str, ...] | None
) -> None:
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for service, expected in {"code": pipeline, "api-1": sidecar or pipeline}.items():
        found = environment_of(service, MADE | written)
        assert tuple(found[name] for name in names) == expected, service
    store = environment_of("store", MADE | written)
    assert (store["ROOT_ACCESS_KEY_ID"], store["ROOT_SECRET_ACCESS_KEY"]) == (
        "own key",
        "own secret",
    )
