"""A few hundred generated cases against the OpenAPI document; ``python -m benchmarks.api_contract``
sends thousands."""

import json

import httpx

from benchmarks.api_contract import check

N_RANDOM = 8


def test_every_answer_keeps_to_the_documented_contract(api: httpx.Client) -> None:
    report = check(
        str(api.base_url).rstrip("/"),
        {
            "API_CONTRACT_FIRST_DAY": "2024-01-20",
            "API_CONTRACT_STORE_ID": json.dumps(["STORE_001", "STORE_002"]),
            "API_CONTRACT_PRODUCT_ID": json.dumps(["PROD_A", "PROD_B", "PROD_C"]),
        },
        N_RANDOM,
    )

    assert not report["failures"], report["text"]
    assert not report["errors"], report["text"]
    assert report["operations"]["tested"] == report["operations"]["total"] >= 13
    assert report["test_cases"]["generated"] > 400
    answered = sum(
        counts["accepted"]
        for phases in report["valid_rates"].values()
        for counts in phases.values()
    )
    assert answered > 100
