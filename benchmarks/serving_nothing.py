"""The yardstick of ``benchmarks.serving``: ``/predict`` as FastAPI makes it, doing nothing.

The same request and response models, validated and written by FastAPI, under the same uvicorn.
"""

import datetime
import os
from typing import Final

import uvicorn
from fastapi import FastAPI

from serving.schemas import PredictReply, PredictRequest

REPLY: Final = PredictReply(
    prediction=142.5,
    model_version="1.0.0",
    source="model",
    horizon=1,
    data_until=datetime.date(2024, 3, 14),
    store_open=True,
    lower=101.0,
    upper=190.0,
    level=80,
)

app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, str]:
    """Tell that the process is up."""
    return {"status": "ready"}


@app.post("/predict")
async def predict(asked: PredictRequest) -> PredictReply:
    """Answer without looking."""
    return REPLY


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["SCALECAST_API_PORT"]), log_config=None, access_log=False)
