"""``GET /models``: the versions that are kept, and which of them is served."""

import datetime

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request

from serving.kept_versions import mae_of
from serving.routes.dependencies import errors, parts_of
from serving.schemas import VersionReply, VersionsReply

router = APIRouter(tags=["operation"])


@router.get("/models", summary="The kept versions", responses=errors(401, 503))
async def models(request: Request) -> VersionsReply:
    """List the kept versions; while the store is away, those that were known, and why."""
    parts = parts_of(request)
    model = parts.reloader.model.value
    served = parts.reloader.current.model if parts.reloader.current else model
    manifest = served.manifest if served else None
    traffic = parts.reloader.traffic
    rival = traffic.rival.entry.version if traffic and traffic.rival else None
    kept = await run_sync(
        parts.kept.known, manifest, abandon_on_cancel=True, limiter=parts.store_turns
    )
    return VersionsReply(
        versions=[
            VersionReply(
                version=manifest.version,
                candidate=manifest.candidate,
                created_at=manifest.created_at,
                fit_cutoff=datetime.date.fromisoformat(manifest.fit_cutoff),
                mae=mae_of(manifest),
                is_served=served is not None and manifest.version == served.version,
                is_challenger=manifest.version == rival,
            )
            for manifest in kept.manifests
        ],
        as_of=kept.as_of,
        stale_because=kept.stale_because,
    )
