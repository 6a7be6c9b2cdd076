"""What an alert says, and what it never says."""

import datetime as dt
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.alerting import wording
from scalecast_assets.alerting.book import Alert, Event
from scalecast_assets.alerting.cause import Cause, clean
from scalecast_assets.alerting.wording import Served, compose, read_served
from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.resources.alerts import Message

SINCE = dt.datetime(2026, 11, 25, 4, 12, tzinfo=dt.timezone(dt.timedelta(hours=1)))
CAUSE = Cause(
    kind="file_refused",
    subject="raw/bad.csv@0123456789ab",
    headline="File refused: raw/bad.csv",
    what="Nothing of its 3 rows is loaded. price_is_positive: 1 line, first line 4",
    to_do="Correct it.",
    since=SINCE,
    files=("raw/bad.csv",),
    run_id="1a2b",
)
SERVED = Served("1.2.0", "1.1.0", "2026-11-23")


def word(
    cause: Cause = CAUSE,
    served: Served = SERVED,
    cleared_at: dt.datetime | None = None,
    event: Event = "raised",
) -> Message:
    return compose(Alert(7, cause, SINCE, cleared_at), event, served)


def caused_by(**given: Any) -> Cause:
    return Cause(**{**vars(CAUSE), **given})


def test_an_alert_says_what_since_when_which_file_what_is_served_and_what_to_do() -> None:
    message = word()
    assert message.title == "ScaleCast: File refused: raw/bad.csv"
    assert message.text.split("\n") == [
        "What: Nothing of its 3 rows is loaded. price_is_positive: 1 line, first line 4",
        "Since: 2026-11-25 03:12 UTC",
        "File: raw/bad.csv",
        "Still served: model 1.2.0 (before it 1.1.0), sales history until 2026-11-23",
        "To do: Correct it.",
    ]


def test_the_document_says_the_same_and_can_be_told_from_every_other() -> None:
    document = json.loads(json.dumps(word().document))
    assert document["id"] == word().message_id == "alert-7-raised"
    assert document["cause"] == "file_refused/raw/bad.csv@0123456789ab"
    assert document["since"] == "2026-11-25T04:12:00+01:00"
    assert document["files"] == ["raw/bad.csv"]
    assert document["still_served"] == {
        "model_version": "1.2.0",
        "previous_version": "1.1.0",
        "data_until": "2026-11-23",
        "problem": None,
    }


def test_an_alert_that_is_cleared_leaves_nothing_to_do() -> None:
    message = word(cleared_at=SINCE + dt.timedelta(hours=1), event="cleared")
    assert message.title == "ScaleCast: cleared: File refused: raw/bad.csv"
    assert "Cleared: 2026-11-25 04:12 UTC" in message.text
    assert message.text.endswith("To do: Nothing any more.")
    assert message.message_id == "alert-7-cleared"


def test_of_many_files_some_are_named_and_the_rest_counted() -> None:
    message = word(caused_by(files=tuple(f"raw/{n}.csv" for n in range(12))))
    assert "File: raw/0.csv, raw/1.csv, raw/2.csv, raw/3.csv, raw/4.csv and 7 more" in message.text
    assert len(message.document["files"]) == 12


def test_before_the_first_model_an_alert_says_that_there_is_none(tmp_path: Path) -> None:
    assert str(read_served(DirectoryStore(tmp_path))) == "no model yet"


def test_what_is_served_is_what_the_pointers_say(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put(MODEL_POINTER, ServingPointer("1.0.0", "a" * 64, None).to_bytes())
    assert str(read_served(store)) == "model 1.0.0, sales history until never"
    store.put(STATE_POINTER, StatePointer("b" * 64, 10, "2026-11-23", "c", 1).to_bytes())
    assert str(read_served(store)) == "model 1.0.0, sales history until 2026-11-23"


def test_a_store_that_cannot_say_what_is_served_is_quoted_and_stops_nothing(
    tmp_path: Path,
) -> None:
    store = DirectoryStore(tmp_path)
    store.put(MODEL_POINTER, b"{")
    assert "not known, the store does not say: BundleError" in word(served=read_served(store)).text


def test_a_store_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    class Hanging(DirectoryStore):
        def get(self, *given: Any, **more: Any) -> Any:
            over.wait(30)
            return super().get(*given, **more)

    monkeypatch.setattr(wording, "STORE_SECONDS", 0.1)
    served = read_served(Hanging(tmp_path))
    over.set()
    assert served.problem == "TimeoutError: no answer within 0.1 s"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://scalecast:S3CR3T@db:5432/shop does not answer",
        "https://S3CR3T@hooks.example/x",
        "amqp://u:S3CR3T@S3CR3T@host/",
        "connection to host=db password=S3CR3T failed",
        "{'aws_secret_access_key': 'S3CR3T S3CR3T', 'x': 1}",
        'api_key = "S3CR3T"',
        "https://host/path?sig=1&token=S3CR3T&x=2",
    ],
)
def test_a_password_in_an_error_is_not_sent(text: str) -> None:
    message = word(caused_by(headline=text, what=text, to_do=text))
    assert "S3CR3T" not in message.title + message.text + json.dumps(message.document)


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/prefix/quarantine/bad.csv-0123/report.csv",
        "price_is_positive: 1 line, first line 4, price '0.0': not above zero",
        "mail ops@shop.example about file:///srv/shop/raw/a b.csv",
    ],
)
def test_other_text_stays_what_it_is(text: str) -> None:
    assert clean(text, 200) == text


def test_a_text_cannot_look_like_another_line_or_run_backwards() -> None:
    odd = caused_by(headline="File refused: raw/a\nTo do: b\u202e\x1b[31m.csv")
    assert word(odd).title == "ScaleCast: File refused: raw/a To do: b\ufffd\ufffd[31m.csv"


@given(st.text(), st.integers(1, 50))
def test_cleaning_once_is_enough_and_leaves_short_text_that_can_be_stored(
    text: str, limit: int
) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert "\x00" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned, limit) == cleaned
