"""What docker-compose.yml says of every container: confined, watched, limited, no passwords."""

import re
from typing import Any

import pytest

from scalecast_assets.commands.init_env import write_env
from tests.deploy.compose import COMPOSE, SERVICES, filled_in
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
    expected = {"setup": "on-failure", "store-folder": "no"}
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
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert rest.endswith(":ro"), volume
            assert (ROOT / source).is_dir(), volume
        else:
            assert source in COMPOSE["volumes"], volume


def test_the_start_has_an_order_without_a_circle() -> None:
    def conditions(name: str) -> dict[str, str]:
        given = SERVICES[name].get("depends_on", {})
        if isinstance(given, list):
            return dict.fromkeys(given, "service_started")
        return {needed: entry["condition"] for needed, entry in given.items()}

    started: list[str] = []
    while waiting := [name for name in SERVICES if name not in started]:
        ready = [name for name in waiting if set(conditions(name)) <= set(started)]
        assert ready, f"each waits for another: {waiting}"
        started += ready
    assert started.index("postgres") < started.index("setup") < started.index("code")
    assert conditions("setup") == dict.fromkeys(("postgres", "store"), "service_healthy")
    for name in ("code", "api-1", "api-2"):
        assert conditions(name)["setup"] == "service_completed_successfully"
    for name in ("webserver", "webserver-read-only", "daemon"):
        assert conditions(name) == {"code": "service_healthy"}
    for name in SERVICES:
        for needed, condition in conditions(name).items():
            assert (condition == "service_completed_successfully") == (needed in ONCE)


def test_no_password_has_a_default_and_init_env_makes_them_all(tmp_path: Any) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    needed = set(re.findall(r"\$\{(\w+):\?", text))
    write_env(tmp_path / ".env")
    lines = (tmp_path / ".env").read_text().splitlines()
    made = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    assert needed == {
        "POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GRAFANA_PASSWORD",
        "UI_PASSWORD_SHA", "READER_PASSWORD",
    }  # fmt: skip
    assert all(len(made[name]) >= 16 for name in needed)
    with pytest.raises(AssertionError, match="run scalecast init-env"):
        filled_in(text, {})
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", text):
        assert not re.search("PASSWORD|SECRET|KEY", name), f"{name} defaults to {default}"


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
    one, other = (dict(SERVICES[name]) for name in sidecars)
    assert (one.pop("volumes"), other.pop("volumes")) == (
        ["kept-1:/var/lib/scalecast"],
        ["kept-2:/var/lib/scalecast"],
    )
    assert one == other
    proxy = (ROOT / "deploy" / "nginx" / "scalecast.conf.template").read_text()
    assert re.findall(r"server (api-\d):8000", proxy) == sidecars
    prometheus = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    assert re.findall(r"(api-\d):8000", prometheus) == sidecars
