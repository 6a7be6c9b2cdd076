"""What the endpoints get from the application: its reloader, its settings."""

from typing import Annotated

from fastapi import Depends, Request

from serving.reload import Reloader
from serving.settings import Settings


async def _reloader(request: Request) -> Reloader:
    reloader = request.app.state.reloader
    assert isinstance(reloader, Reloader)
    return reloader


async def _settings(request: Request) -> Settings:
    settings = request.app.state.settings
    assert isinstance(settings, Settings)
    return settings


CurrentReloader = Annotated[Reloader, Depends(_reloader)]
CurrentSettings = Annotated[Settings, Depends(_settings)]
