"""Forecasts that ask for keys, as ``.env`` says, and Prometheus, which has one of its own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values

from scalecast_assets.commands.init_env import write_env
from serving.keys import new_key
from tests.deploy.host import ADDRESSES, Host
from tests.graph.command import eventually, free_port


@pytest.fixture(scope="module")
def shop() -> tuple[str, str]:
    """The key of a client, and its line."""
    return new_key("shop")


@pytest.fixture(scope="module")
def host(
    moto_endpoint: str, tmp_path_factory: pytest.TempPathFactory, shop: tuple[str, str]
) -> Iterator[Host]:
    """Both sidecars, without a model, and Prometheus."""
    folder = Path(tmp_path_factory.mktemp("keys"))
    write_env(folder / ".env.compose")
    made = {name: value or "" for name, value in dotenv_values(folder / ".env.compose").items()}
    ports = dict.fromkeys(ADDRESSES, free_port()) | {"prometheus": free_port()}
    with ExitStack() as stack:
        written = made | {"SCALECAST_API_KEYS": shop[1]}
        host = Host(folder, written, {"http://store:7070": moto_endpoint}, ports, stack)
        for api in ADDRESSES:
            host.start(api)
        host.start_prometheus()
        yield host


def test_who_has_no_key_is_refused_and_prometheus_sees_both_sidecars(
    host: Host, shop: tuple[str, str]
) -> None:
    def seen() -> set[str]:
        try:
            reply = httpx.get(host.url("prometheus", "/api/v1/query"), params={"query": "up == 1"})
        except httpx.TransportError:
            return set()
        found = reply.json()["data"]["result"] if reply.status_code == 200 else []
        return {entry["metric"]["instance"] for entry in found}

    def all_are_seen() -> bool:
        return seen() == {host.address(api) for api in ADDRESSES}

    eventually(all_are_seen, f"{host.log('prometheus')} {host.log('api-1')}", 60)
    for api in ADDRESSES:
        stores = host.url(api, "/stores")
        key = {"Authorization": f"Bearer {host.variables['METRICS_KEY']}"}
        assert httpx.get(stores).status_code == 401
        assert httpx.get(stores, headers=key).status_code == 401
        assert httpx.get(stores, headers={"X-API-Key": shop[0]}).status_code == 503  # no model
        assert httpx.get(host.url(api, "/metrics")).status_code == 401
