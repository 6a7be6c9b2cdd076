"""What the shadow compares after each kind of answer: the same question, put to the challenger.

Only what the champion's model said is compared: where a mean answers, both have the same. Batches
and forecasts of many series are compared on an even draw. The comparing itself is in ``shadow.py``.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.cold_start import MODEL, SOURCES
from serving.answers import Answers, Reply
from serving.batch import Places, Questions
from serving.coming import Asked, answer
from serving.continuing import continued
from serving.forecaster import Answer, Forecaster, Question
from serving.shadow import MAX_ROWS, Shadow, drawn
from serving.timeseries import TimeSeriesInput
from serving.traffic import Told, Traffic, chosen


class Continuing(NamedTuple):
    """A series that is to be continued."""

    given: TimeSeriesInput
    horizon: int
    where: str


def compare_one(shadow: Shadow, traffic: Traffic, question: Question, told: Answer) -> None:
    """Offer the answer to one question."""
    rival = traffic.shadow
    if rival is None or told.source != SOURCES[MODEL]:
        return
    if rival.entry.takes(question.store_id, question.product_id):
        shadow.offer(
            rival,
            traffic.champion.model.version,
            np.array([told.prediction]),
            lambda: np.array([rival.forecaster.answer(question).prediction]),
            store_id=question.store_id,
            product_id=question.product_id,
        )


def compare_many(
    shadow: Shadow, traffic: Traffic, questions: Questions, places: Places, told: Told
) -> None:
    """Offer some of the answers to a batch."""
    rival = traffic.shadow
    if rival is None:
        return
    taken = rival.takes(places.series, questions.store_id, questions.product_id)
    rows = drawn(np.flatnonzero(taken & (told.source == MODEL)))
    if rows.size:
        asked = partial(_ask_batch, rival.forecaster, *chosen(questions, places, rows))
        shadow.offer(
            rival,
            traffic.champion.model.version,
            told.prediction[rows],
            asked,
            rows=len(places.series),
        )


def compare_days(shadow: Shadow, traffic: Traffic, asked: Asked, replies: list[Reply]) -> None:
    """Offer the coming days of some series."""
    rival = traffic.shadow
    if rival is None:
        return
    taken = rival.takes(asked.series, asked.store_id.tolist(), asked.product_id.tolist())
    rows = drawn(np.flatnonzero(taken), max(1, MAX_ROWS // asked.price.shape[1]))
    if not rows.size:
        return
    days = [day for row in rows.tolist() for day in replies[row]["days"]]
    own = SOURCES[MODEL]
    prediction = [day["prediction"] if day["source"] == own else np.nan for day in days]
    shadow.offer(
        rival,
        traffic.champion.model.version,
        np.array(prediction, np.float64),
        partial(_ask_days, rival.forecaster, asked.part(rows)),
        series=len(asked.series),
    )


def compare_continued(shadow: Shadow, traffic: Traffic, asked: Continuing, told: Answers) -> None:
    """Offer the continuation of a series that says whose it is."""
    rival, given = traffic.shadow, asked.given
    if rival is None or given.store_id is None or given.product_id is None:
        return
    if rival.entry.takes(given.store_id, given.product_id):
        shadow.offer(
            rival,
            traffic.champion.model.version,
            np.where(told.source == MODEL, told.prediction, np.nan),
            lambda: continued(rival.forecaster, *asked).answers.prediction,
            store_id=given.store_id,
            product_id=given.product_id,
        )


def _ask_batch(forecaster: Forecaster, questions: Questions, places: Places) -> NDArray[np.float64]:
    return forecaster.batch.answer(questions, places).prediction


def _ask_days(forecaster: Forecaster, asked: Asked) -> NDArray[np.float64]:
    return answer(forecaster, asked).prediction
