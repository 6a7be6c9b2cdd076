"""/docs and /openapi.json: every documented example runs; the page needs nothing from outside."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from pydantic import TypeAdapter

from serving.listing import SeriesReply, StoresReply
from serving.routes import docs
from serving.schemas import HealthReply, ModelReply, PredictReply, ReadyReply, VersionsReply
from serving.schemas_many import BatchReply, ForecastReply, HistoryReply
from serving.timeseries import TimeSeriesReply
from tests.serving.makers import asking

REPLIES: dict[str, Any] = {
    "/predict": PredictReply,
    "/predict/batch": BatchReply,
    "/forecast": ForecastReply,
    "/v1/timeseries/forecast": TimeSeriesReply,
    "/history": HistoryReply,
    "/stores": StoresReply,
    "/series": SeriesReply,
    "/model/report": None,
    "/model": ModelReply,
    "/models": VersionsReply,
    "/health": HealthReply,
    "/ready": ReadyReply,
    "/metrics": None,
}


class Example(NamedTuple):
    method: str
    path: str
    media_type: str
    body: Any
    parameters: dict[str, Any]


def examples_of(document: dict[str, Any]) -> Iterator[Example]:
    """Every example body of the document, and one request of each route without a body."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "requestBody" not in operation:
                parameters = {
                    one["name"]: one["schema"]["examples"][0]
                    for one in operation.get("parameters", ())
                }
                yield Example(method, path, "", None, parameters)
                continue
            for media_type, content in operation["requestBody"]["content"].items():
                bodies = [example["value"] for example in content.get("examples", {}).values()]
                if "example" in content:
                    bodies.append(content["example"])
                assert bodies, f"{path} {media_type} is shown without an example"
                for body in bodies:
                    yield Example(method, path, media_type, body, {})


ABSENT = {
    "/health": {"stale"},
    "/ready": {"stale", "stale_since", "stale_because", "challenger"},
}
"""Fields that are there only while the store is away, or a challenger beside the champion."""


def run(api: httpx.Client, example: Example) -> httpx.Response:
    if isinstance(example.body, str):
        headers = {"Content-Type": example.media_type}
        return api.post(example.path, content=example.body.encode(), headers=headers)
    if example.body is not None:
        return api.post(example.path, json=example.body)
    return api.request(example.method, example.path, params=example.parameters)


def test_every_example_of_the_documentation_runs_and_answers_as_documented(
    api: httpx.Client,
) -> None:
    examples = list(examples_of(api.get("/openapi.json").json()))

    assert {example.path for example in examples} == set(REPLIES)
    assert len(examples) >= 16
    for example in examples:
        reply = run(api, example)
        assert reply.status_code == 200, (example, reply.text)
        model = REPLIES[example.path]
        if model is not None and reply.headers["content-type"] == "application/json":
            TypeAdapter(model).validate_json(reply.content)
            assert set(reply.json()) == set(model.model_fields) - ABSENT.get(example.path, set())


def test_the_document_names_every_error_status(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]

    every = {"200", "401", "408", "413", "415", "422", "503"}
    assert set(paths["/predict"]["post"]["responses"]) == every
    assert set(paths["/predict/batch"]["post"]["responses"]) == every
    assert set(paths["/forecast"]["post"]["responses"]) == every | {"404"}
    assert set(paths["/history"]["get"]["responses"]) == {"200", "401", "404", "422", "503"}
    assert set(paths["/ready"]["get"]["responses"]) == {"200", "503"}


def test_no_body_admits_a_field_that_is_not_documented(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()

    for path in ("/predict", "/predict/batch", "/forecast"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert resolved(document, content["schema"]["$ref"])["additionalProperties"] is False


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_every_reference_of_the_document_leads_somewhere(api: httpx.Client) -> None:
    document = api.get("/openapi.json")
    references = set(re.findall(r'"\$ref":"([^"]+)"', document.text))

    assert len(references) > 20
    assert all(resolved(document.json(), one) is not None for one in references)
    assert "$defs" not in document.text


def test_the_documentation_is_a_page_that_loads_nothing_from_elsewhere(api: httpx.Client) -> None:
    page = api.get("/docs")
    needed = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert len(needed) == 4
    for address in needed:
        assert "//" not in address
        found = api.get(f"/{address}")
        assert found.status_code == 200
        assert len(found.content) > 100
    assert "openapi.json" in (docs.WEB / "docs.js").read_text()


@pytest.mark.parametrize("path", ["/docs/assets/../docs.py", "/docs/assets/%2e%2e/docs.py"])
def test_the_pages_folder_cannot_be_left(api: httpx.Client, path: str) -> None:
    assert api.get(path).status_code == 404


def test_the_root_is_a_page_whose_text_can_never_become_markup(api: httpx.Client) -> None:
    reply = api.get("/")

    policy = reply.headers["content-security-policy"]
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "innerHTML" not in reply.text
    assert 'href="docs"' in reply.text


def test_the_model_tells_its_metrics_beside_the_baselines_and_its_lineage(
    api: httpx.Client,
) -> None:
    answer = api.get("/model").json()

    assert answer["model_version"] == api.post("/predict", json=asking()).json()["model_version"]
    assert [row["name"] for row in answer["metrics"]] == ["xgboost", "naive_baseline"]
    assert answer["features"][6] == "lag_1"
    assert len(answer["features"]) == 16
    assert answer["manifest"]["raw_files"][0]["key"] == "raw/sales.csv"
    assert answer["state"]["data_until"] == "2024-03-14"
    assert answer["state"]["series"] == 6
