"""Whatever is sent, the answer is a 4xx that names what is wrong, never a 500 and never a crash."""

import json
import random
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.makers import OLD_REQUEST, asking
from tests.serving.test_documentation import examples_of
from tests.serving.test_limits import POSTS, problem_of

BODIES = {
    "nothing": b"",
    "invalid UTF-8": b'{"store_id": "\xff\xfe"}',
    "a lone surrogate": b'{"store_id": "\\ud800"}',
    "a NUL": b"\x00",
    "deep lists": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000,
    "a huge number": b'{"horizon": 1' + b"0" * 5_000 + b"}",
    "a huge exponent": b'{"price": 1e999999999}',
    "NaN": b'{"price": NaN}',
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "a million of nothing": b'{"rows": [' + b",".join([b"0"] * 10_001) + b"]}",
    "a nested row": b'{"rows": [{"date": {"date": {}}}]}',
    "two documents": json.dumps(OLD_REQUEST).encode() * 2,
    "a name with a NUL": b'{"\\u0000": 1}',
    "an unknown field": b'{"__proto__": {"x": 1}}',
    "HTML": b"<script>alert(1)</script>",
}

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_by_name(api: httpx.Client, path: str, name: str) -> None:
    reply = api.post(path, content=BODIES[name])

    assert 400 <= reply.status_code < 500, reply.text
    if "detail" in reply.json():
        for problem in reply.json()["detail"]:
            assert problem["field"]
            assert problem["rule"] in problem["message"]
    else:
        assert problem_of(reply)["param"]


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), value=values)
def test_an_example_with_any_value_anywhere_is_answered_or_refused(
    api: httpx.Client, seed: int, value: Any
) -> None:
    """A documented request in which one value, anywhere, is replaced by any other."""
    chance = random.Random(seed)
    document = api.get("/openapi.json").json()
    examples = [one for one in examples_of(document) if isinstance(one.body, dict)]
    example = chance.choice(examples)
    body = json.loads(json.dumps(example.body))
    places = list(_places(body))
    holder, key = chance.choice(places)
    holder[key] = value

    reply = api.post(example.path, content=json.dumps(body).encode())

    assert reply.status_code in (200, 400, 404, 422), (example.path, body, reply.text)
    if reply.status_code != 200:
        assert "message" in reply.text


@pytest.mark.parametrize(
    "line", [b'{"price": NaN}', b'{"rows": []}', b"[" * 9_000, b"\xff", b'"', b"{}" * 3]
)
def test_a_hostile_line_is_refused_where_it_stands(api: httpx.Client, line: bytes) -> None:
    good = json.dumps(asking()).encode()
    reply = api.post(
        "/predict/batch",
        content=b"\n".join([good, line, good]),
        headers={"Content-Type": "application/x-ndjson"},
    )

    lines = [json.loads(one) for one in reply.text.splitlines()]
    assert reply.status_code == 200
    assert ["prediction" in one for one in lines] == [True, False, True]
    assert lines[1]["detail"][0]["message"]


def test_lines_of_random_bytes_are_each_answered_or_refused(api: httpx.Client) -> None:
    """A fuzzer for the reader of lines: good lines with bytes flipped, cut and put in."""
    chance = random.Random(5)
    good = json.dumps(asking()).encode()
    for _ in range(40):
        spoilt = []
        for _ in range(50):
            line = good
            for _ in range(chance.randrange(3)):
                at = chance.randrange(len(line))
                put_in = bytes(chance.randrange(256) for _ in range(chance.randrange(3)))
                line = line[:at] + put_in + line[at + chance.randrange(3) :]
            spoilt.append(line.replace(b"\n", b" "))
        reply = api.post(
            "/predict/batch",
            content=b"\n".join(spoilt),
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert reply.status_code == 200
        lines = [json.loads(one) for one in reply.text.splitlines()]
        assert [one["row"] for one in lines] == list(range(len(lines)))
        assert len(lines) == sum(1 for line in spoilt if line.strip(b" \t\r"))
        for sent, found in zip(spoilt, lines, strict=True):
            alone = api.post("/predict", content=sent) if "prediction" in found else None
            assert alone is None or alone.status_code == 200


def _places(value: Any) -> Any:
    """Every place in a document whose value can be replaced."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)
