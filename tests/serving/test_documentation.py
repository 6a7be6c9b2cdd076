"""/docs, /model and /: the documented examples run, and the model tells where it comes from."""

import httpx

from tests.serving.makers import asking


def test_every_example_of_the_documentation_runs(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]

    assert body["schema"]["additionalProperties"] is False
    assert len(body["examples"]) >= 3
    for name, example in body["examples"].items():
        reply = api.post("/predict", json=example["value"])
        assert reply.status_code == 200, (name, reply.text)


def test_the_document_names_every_error_status(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()

    assert set(document["paths"]["/predict"]["post"]["responses"]) == {"200", "413", "422", "503"}
    assert set(document["paths"]) == {"/health", "/predict", "/model"}


def test_the_documentation_is_a_page(api: httpx.Client) -> None:
    assert "swagger" in api.get("/docs").text.lower()


def test_the_root_leads_to_the_documentation(api: httpx.Client) -> None:
    reply = api.get("/", follow_redirects=True)

    assert reply.status_code == 200
    assert reply.url.path == "/docs"


def test_the_model_tells_its_metrics_beside_the_baselines_and_its_lineage(
    api: httpx.Client,
) -> None:
    answer = api.get("/model").json()

    assert answer["model_version"] == api.post("/predict", json=asking()).json()["model_version"]
    names = [row["name"] for row in answer["manifest"]["leaderboard"]]
    assert names == ["xgboost", "naive_baseline"]
    assert answer["manifest"]["raw_files"][0]["key"] == "raw/sales.csv"
    assert answer["manifest"]["features"][6] == "lag_1"
    assert answer["state"]["data_until"] == "2024-03-14"
    assert answer["state"]["series"] == 6
