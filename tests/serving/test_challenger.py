"""Two versions at once: every way to ask obeys one rule, and swaps of either fail no request."""

import json
import threading
from collections import defaultdict
from typing import Any

import httpx
import pytest

from scalecast_assets.contract.challenger import Challenger, Mode
from scalecast_assets.contract.layout import MODEL, MODEL_POINTER, model_key
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import (
    World,
    asking,
    linear_graph,
    make_world,
    point_at,
    renamed,
    write_bundle,
    write_state,
)

CHAMPION, CHALLENGER = "1.0.0", "1.1.0"
SAYS = {CHAMPION: 1.0, CHALLENGER: 2.0, "1.2.0": 3.0}
"""What each version always answers, so that a mixed answer would show."""

PAIRS = sorted(make_world().sales)
SHARE = 0.2


def entry(sha256: str, share: float = SHARE, mode: Mode = "split") -> Challenger:
    return Challenger(CHALLENGER, sha256, share, mode)


def taken(share: float = SHARE) -> set[tuple[str, str]]:
    return {pair for pair in PAIRS if entry("a" * 64, share).takes(*pair)}


def bundles(home: Home, world: World) -> dict[str, str]:
    """Write all versions and the state, and return the manifests' sha256."""
    write_state(home.store, world.panel())
    return {
        version: write_bundle(home.store, version, linear_graph({}, bias=says), world.encoders)
        for version, says in SAYS.items()
    }


def serve_both(
    home: Home, world: World, share: float = SHARE, mode: Mode = "split"
) -> dict[str, str]:
    shas = bundles(home, world)
    beside = entry(shas[CHALLENGER], share, mode)
    point_at(home.store, CHAMPION, shas[CHAMPION], challenger=beside)
    return shas


def rows(**more: Any) -> list[dict[str, Any]]:
    dates = ("2024-03-10", "2024-03-15", "2024-04-20")
    return [asking(store_id=s, product_id=p, date=d, **more) for s, p in PAIRS for d in dates]


def who_answers(api: httpx.Client) -> dict[tuple[str, str], set[str]]:
    """Ask about every series in every way, and check that each answer is of the version it names.

    PROD_C of STORE_001 is young: a mean answers for it, whoever is asked.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)

    def note(pair: tuple[str, str], answer: dict[str, Any]) -> None:
        found[pair].add(answer["model_version"])
        if answer["source"] == "model":
            assert answer["prediction"] == SAYS[answer["model_version"]]

    def ask(path: str, body: Any, **headers: str) -> httpx.Response:
        reply = api.post(path, json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        return reply

    for row in rows():
        note((row["store_id"], row["product_id"]), ask("/predict", row).json())
    told = ask("/predict/batch", {"rows": rows()}).json()["predictions"]
    lines = "\n".join(
        httpx.Request("POST", "http://x", json=row).content.decode() for row in rows()
    )
    plain = {"Content-Type": "application/x-ndjson"}
    streamed = api.post("/predict/batch", content=lines, headers=plain).text.splitlines()
    for row, one, line in zip(rows(), told, streamed, strict=True):
        note((row["store_id"], row["product_id"]), one)
        note((row["store_id"], row["product_id"]), json.loads(line))
    wholes = [{"store_id": s} for s in ("STORE_001", "STORE_002")] + [{"product_id": "PROD_A"}]
    for whole in [*wholes, *({"store_id": s, "product_id": p} for s, p in PAIRS)]:
        series = ask("/forecast", whole).json()["series"]
        text = ask("/forecast", whole, Accept="application/x-ndjson").text
        series += [json.loads(line) for line in text.splitlines()]
        for one in series:
            for day in one["days"]:
                assert day["model_version"] == one["model_version"]
                note((one["store_id"], one["product_id"]), day)
    for pair in PAIRS:
        content = ask("/v1/timeseries/forecast", kserve(*pair)).json()["outputs"][0]["content"][0]
        found[pair].add(content["model_version"])
        if set(content["source"]) == {"model"}:
            assert set(content["mean_forecast"]) == {SAYS[content["model_version"]]}
    return found


def kserve(store_id: str, product_id: str, model: str = "scalecast") -> dict[str, Any]:
    one = {"type": "univariate_time_series", "name": "x", "series": [], "frequency": "D"}
    inputs = [one | {"store_id": store_id, "product_id": product_id}]
    return {"model": model, "inputs": inputs, "options": {"horizon": 5}}


def test_every_way_to_ask_is_answered_by_the_series_own_version(
    any_home: Home, world: World
) -> None:
    serve_both(any_home, world)
    assert 0 < len(taken()) < len(PAIRS)
    expected = {pair: {CHALLENGER if pair in taken() else CHAMPION} for pair in PAIRS}
    for _ in range(2):  # and the same after a restart
        with running(any_home.settings) as api:
            assert who_answers(api) == expected
    with running(any_home.settings) as api:
        named = api.post("/v1/timeseries/forecast", json=kserve(*PAIRS[0], CHALLENGER)).json()
        assert named["model_version"] == CHALLENGER
        assert set(named["outputs"][0]["content"][0]["mean_forecast"]) == {SAYS[CHALLENGER]}
        assert (
            api.post("/v1/timeseries/forecast", json=kserve(*PAIRS[0], "1.2.0")).status_code == 404
        )
        unseen = {
            api.post("/predict", json=asking(product_id=f"NEW_{n}")).json()["model_version"]
            for n in range(60)
        }
        assert unseen == {CHAMPION, CHALLENGER}


def test_both_versions_are_shown(home: Home, world: World) -> None:
    shas = serve_both(home, world)
    with running(home.settings) as api:
        assert len(who_answers(api)) == len(PAIRS)
        model, ready = api.get("/model").json(), api.get("/ready").json()
        assert (model["model_version"], model["challenger_problem"]) == (CHAMPION, None)
        shown = model["challenger"]
        assert (shown["model_version"], shown["manifest_sha256"]) == (CHALLENGER, shas[CHALLENGER])
        assert (shown["mode"], shown["share"], shown["mae"]) == ("split", SHARE, 2.5)
        assert (ready["model_version"], ready["challenger"]) == (CHAMPION, CHALLENGER)
        listed = {one["version"]: one for one in api.get("/models").json()["versions"]}
        assert [v for v, one in listed.items() if one["is_challenger"]] == [CHALLENGER]
        assert [v for v, one in listed.items() if one["is_served"]] == [CHAMPION]
        metrics = api.get("/metrics").text
        for line in (
            f'scalecast_model_share{{role="champion",version="{CHAMPION}"}} 0.8',
            f'scalecast_model_share{{role="challenger",version="{CHALLENGER}"}} 0.2',
            f'scalecast_predictions_total{{source="model",version="{CHAMPION}"}}',
            f'scalecast_predictions_total{{source="model",version="{CHALLENGER}"}}',
            'scalecast_reloads_total{outcome="accepted",what="challenger"} 1.0',
        ):
            assert line in metrics


def test_a_larger_share_only_adds_series_and_the_end_leaves_the_champion(
    home: Home, world: World
) -> None:
    shas = serve_both(home, world, 0.05)
    with running(home.settings) as api:
        before: set[tuple[str, str]] = set()
        for share in (0.05, 0.09, 0.15, 0.5, 0.7):
            beside = entry(shas[CHALLENGER], share)
            point_at(home.store, CHAMPION, shas[CHAMPION], challenger=beside)
            eventually(lambda: share_of(api) == share, f"a share of {share}")  # noqa: B023
            now = {pair for pair, versions in who_answers(api).items() if versions == {CHALLENGER}}
            assert before <= now == taken(share)
            before = now
        point_at(home.store, CHAMPION, shas[CHAMPION])
        eventually(lambda: share_of(api) is None, "the challenger has ended")
        assert set.union(*who_answers(api).values()) == {CHAMPION}


def share_of(api: httpx.Client) -> float | None:
    shown = api.get("/model").json()["challenger"]
    return shown["share"] if shown else None


@pytest.mark.parametrize("spoilt", ["graph", "missing", "features", "entry", "nan"])
def test_a_spoilt_challenger_leaves_the_champion_answering_for_all_and_says_why(
    home: Home, world: World, spoilt: str, caplog: pytest.LogCaptureFixture
) -> None:
    shas = bundles(home, world)
    sha256 = shas[CHALLENGER]
    if spoilt == "graph":
        home.store.put(model_key(CHALLENGER, MODEL), b"boom")
    elif spoilt == "missing":
        home.store.delete(model_key(CHALLENGER, "manifest.json"))
    elif spoilt == "features":
        sha256 = write_bundle(
            home.store, CHALLENGER, linear_graph(), world.encoders,
            spoil=lambda manifest: renamed(manifest, contract_hash="0" * 16),
        )  # fmt: skip
    elif spoilt == "nan":
        graph = linear_graph(bias=float("nan"))
        sha256 = write_bundle(home.store, CHALLENGER, graph, world.encoders)
    point_at(home.store, CHAMPION, shas[CHAMPION], challenger=entry(sha256))
    if spoilt == "entry":
        body = home.store.get(MODEL_POINTER).body
        home.store.put(MODEL_POINTER, body.replace(b'"split"', b'"both"'))
    with running(home.settings) as api:
        assert set.union(*who_answers(api).values()) == {CHAMPION}
        model = api.get("/model").json()
        assert model["challenger"] is None
        assert model["challenger_problem"]
        assert "the champion answers for all" in caplog.text
        refused = 'scalecast_reloads_total{outcome="refused",what="challenger"}'
        assert refused in api.get("/metrics").text
        good = write_bundle(home.store, CHALLENGER, linear_graph({}, bias=2.0), world.encoders)
        point_at(home.store, CHAMPION, shas[CHAMPION], challenger=entry(good))
        eventually(lambda: share_of(api) == SHARE, "a good one is taken up")
        assert api.get("/model").json()["challenger_problem"] is None


def test_a_challenger_that_is_mended_in_place_is_taken_up(home: Home, world: World) -> None:
    shas = bundles(home, world)
    key = model_key(CHALLENGER, MODEL)
    good = home.store.get(key).body
    home.store.put(key, b"half")
    point_at(home.store, CHAMPION, shas[CHAMPION], challenger=entry(shas[CHALLENGER]))
    with running(home.settings) as api:
        assert share_of(api) is None
        assert "challenger" not in api.get("/ready").json()
        home.store.put(key, good)
        eventually(lambda: share_of(api) == SHARE, "it is tried again")


def test_challengers_come_and_go_under_load_and_no_request_fails(home: Home, world: World) -> None:
    shas = bundles(home, world)
    point_at(home.store, CHAMPION, shas[CHAMPION])
    stop = threading.Event()
    answers: list[tuple[int, Any]] = []

    def call(api: httpx.Client, number: int) -> None:
        paths: list[tuple[str, Any]] = [
            ("/predict", asking(store_id="STORE_001", product_id="PROD_B")),
            ("/predict/batch", {"rows": rows()}),
            ("/forecast", {"store_id": "STORE_002", "horizon": 3}),
        ]
        while not stop.is_set():
            path, body = paths[number % 3]
            reply = api.post(path, json=body)
            answers.append((reply.status_code, reply.json()))

    with running(home.settings) as api:
        callers = [threading.Thread(target=call, args=(api, n)) for n in range(3)]
        for caller in callers:
            caller.start()
        for swap in range(12):
            champion = (CHAMPION, "1.2.0")[swap % 2]
            share = (0.1, 0.6, 0.3)[swap % 3]
            beside = entry(shas[CHALLENGER], share) if swap % 4 else None
            point_at(home.store, champion, shas[champion], challenger=beside)
            wanted = (champion, share if beside else None)
            eventually(lambda: now(api) == wanted, f"{wanted} is served")  # noqa: B023
            seen = len(answers) + 12
            eventually(lambda: len(answers) > seen, "more requests are answered")  # noqa: B023
        stop.set()
        for caller in callers:
            caller.join()

    assert {status for status, _ in answers} == {200}
    said = [day for _, body in answers for day in _days(body)]
    assert {day["model_version"] for day in said} == set(SAYS)
    own = [day for day in said if day["source"] == "model"]
    assert all(day["prediction"] == SAYS[day["model_version"]] for day in own)
    for _, body in answers:
        for one in body.get("series", []):
            assert len({day["model_version"] for day in one["days"]}) == 1


def now(api: httpx.Client) -> tuple[str, float | None]:
    model = api.get("/model").json()
    return model["model_version"], model["challenger"]["share"] if model["challenger"] else None


def _days(body: dict[str, Any]) -> list[dict[str, Any]]:
    if "series" in body:
        return [day for one in body["series"] for day in one["days"]]
    found: list[dict[str, Any]] = body.get("predictions", [body])
    return found
