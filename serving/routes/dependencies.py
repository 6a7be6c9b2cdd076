"""What the endpoints get from the application, and the kind of route that most of them are."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, cast

from anyio import CapacityLimiter
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json

from scalecast_assets.contract.store import ObjectStore
from serving.errors import ApiError, problem
from serving.forecaster import Forecaster
from serving.heavy import Heavy
from serving.kept_versions import KeptVersions
from serving.metrics import Metrics
from serving.reload import Reloader
from serving.schemas import ErrorReply
from serving.settings import Settings
from serving.shadow import Shadow
from serving.traffic import Traffic


@dataclass(frozen=True)
class Parts:
    """What one application is made of."""

    settings: Settings
    reloader: Reloader
    metrics: Metrics
    heavy: Heavy
    kept: KeptVersions
    store: ObjectStore
    store_turns: CapacityLimiter
    """For threads that wait for the store: while it hangs, those of forecasts stay free."""
    shadow: Shadow

    def traffic(self) -> Traffic:
        """Return what answers now; a request takes it once and so never mixes two versions.

        Raises:
            ApiError: 503 saying what is missing.
        """
        traffic = self.reloader.traffic
        if traffic is None:
            raise not_loaded(model_is_in=self.reloader.model.value is not None)
        return traffic

    def forecaster(self) -> Forecaster:
        """Return the champion, for what is the same whoever answers.

        Raises:
            ApiError: 503 saying what is missing.
        """
        return self.traffic().champion


def parts_of(request: Request) -> Parts:
    """Return the parts of the application that the request came to."""
    return cast(Parts, request.app.state.parts)


class PlainRoute(APIRoute):
    """A route whose function takes the request and returns the response, and nothing between.

    FastAPI's own handling of parameters and replies costs as much as a forecast does.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself."""
        return cast(Callable[[Request], Coroutine[Any, Any, Response]], self.endpoint)


def json_response(content: Any, status: int = 200) -> Response:
    """Make an answer of what pydantic can write; every number in it is finite."""
    return Response(to_json(content), status, media_type="application/json")


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the error answers of a route."""
    return {status: {"model": ErrorReply, "description": SAYS[status]} for status in statuses}


SAYS: Final = {
    401: "Keys are set, and the request has none that is let in",
    404: "Nothing is known of what was asked for",
    408: "The body took too long to arrive",
    413: "The body is too large",
    415: "The body is of another type, or compressed",
    422: "A field breaks a rule",
    503: "No model, or no history, is loaded yet; or too much is asked at once (`Retry-After`)",
}


def not_loaded(*, model_is_in: bool) -> ApiError:
    """Make the error for a question that nothing can answer yet."""
    if model_is_in:
        rule = "must be loaded before a forecast: run `scalecast run` to make serving/state.json"
        return ApiError(503, problem("state", None, rule, found="a model but no fitting history"))
    rule = "must be loaded before a forecast: run `scalecast run` to promote one"
    return ApiError(503, problem("model", None, rule, found="none"))
