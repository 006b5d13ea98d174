"""The registry of models: list, look at, compare, promote, archive, delete."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from gateway.auditing import audit_page, note
from gateway.body import LimitedRoute
from gateway.comparison import compare
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.files import file_response
from gateway.openapi import PROBLEM_RESPONSES, problem_response
from gateway.paging import Limit, paged
from gateway.problems import ProblemError, invalid_fields
from gateway.registry import (
    Found,
    ModelReference,
    VersionReference,
    describe,
    described,
    find_model,
    find_version,
    summary,
    version_of,
)
from schemas.dead_letters import AuditPage
from schemas.learning import LATEST, Alias
from schemas.model_card import ModelCard
from schemas.problems import InvalidField
from schemas.registry import AliasMoved, AliasRequest, Model, ModelComparison, ModelPage, ModelVersion
from storage import audit, models
from storage.blob_writers import blob_path
from storage.documents import ModelDocument
from storage.models import MODELS

router = APIRouter(
    prefix="/v1/models",
    tags=["models"],
    responses={**PROBLEM_RESPONSES, 409: problem_response(409)},
    route_class=LimitedRoute,
)

_MEDIA_TYPES = {"model": "application/zip", "card": "application/json", "page": "text/html; charset=utf-8"}
_SUFFIXES = {"model": ".zip", "card": ".json", "page": ".html"}

Force = Annotated[bool, Query(description="Also what an alias points at; the alias goes with it")]


@router.get("", response_model=ModelPage)
async def list_models(
    principal: Principal, parts: PartsDependency, limit: Limit = 50, cursor: str | None = None
) -> Response:
    """Models, last trained first."""
    find = partial(MODELS.page, principal)
    found, following = await paged(
        parts, router.prefix, {}, limit, cursor, find, lambda document: document.updated_at
    )
    return _json(ModelPage(items=[summary(document) for document in found], next=following))


@router.get("/{model}", response_model=Model)
async def get_model(model: ModelReference, principal: Principal, parts: PartsDependency) -> Response:
    """A model with the version that answers: the champion, else the latest."""
    return _json(describe(await find_version(parts, principal, model, None)))


@router.delete("/{model}", status_code=204)
async def delete_model(
    model: ModelReference, request: Request, principal: Principal, parts: PartsDependency, force: Force = False
) -> Response:
    """Forget a model with its versions, aliases and request log."""
    found = await find_model(parts, principal, model)
    if found.aliases and not force:
        raise ProblemError("version-aliased", f"{found.name!r} has the aliases {', '.join(sorted(found.aliases))}")
    await models.delete(parts.database, found.id, datetime.now(UTC))
    await note(request, parts, principal, audit.MODEL_DELETED, found.id, {"name": found.name, "force": force})
    return Response(status_code=204)


@router.get("/{model}/versions", response_model=list[ModelVersion])
async def list_versions(model: ModelReference, principal: Principal, parts: PartsDependency) -> list[ModelVersion]:
    """Every version, newest first; the archived ones as well."""
    found = await find_model(parts, principal, model)
    return [described(Found(found, item)) for item in await parts.store.reading(MODELS.versions(found.id))]


@router.get("/{model}/versions/{version}", response_model=ModelVersion)
async def get_version(
    model: ModelReference, version: VersionReference, principal: Principal, parts: PartsDependency
) -> Response:
    """One version: its signature, origin, metrics and artifacts."""
    return _json(described(await find_version(parts, principal, model, version)))


@router.delete("/{model}/versions/{version}", status_code=204)
async def delete_version(
    model: ModelReference,
    version: VersionReference,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    force: Force = False,
) -> Response:
    """Forget a version. Its number is not given again; with the last of its versions the model is gone."""
    found = await find_version(parts, principal, model, version)
    if found.aliases and not force:
        raise ProblemError("version-aliased", f"{', '.join(found.aliases)} points at {found.title}")
    chosen = found.version.version
    for alias in found.aliases:
        await models.move_alias(parts.database, found.model.id, alias, chosen, None)
    await models.delete_version(parts.database, found.model.id, chosen, datetime.now(UTC))
    detail = {"version": chosen, "number": found.version.number, "aliases": found.aliases}
    await note(request, parts, principal, audit.VERSION_DELETED, found.model.id, detail)
    return Response(status_code=204)


@router.put("/{model}/aliases/{alias}", response_model=AliasMoved)
async def move_alias(
    model: ModelReference,
    alias: Alias,
    asked: AliasRequest,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
) -> Response:
    """Let an alias point at a version: `champion` is the one that answers where none is named. The answer says where
    it pointed before, so that the way back is known."""
    if alias == LATEST:
        detail = f"{LATEST!r} always means the newest version; choose another name"
        raise invalid_fields([InvalidField(pointer="alias", detail=detail)])
    found = await find_version(parts, principal, model, asked.version)
    if found.version.archived_at is not None:
        raise ProblemError("version-archived", f"{found.title} is archived")
    return _json(await _point(request, parts, principal, found.model, alias, found.version.version))


@router.delete("/{model}/aliases/{alias}", response_model=AliasMoved)
async def remove_alias(
    model: ModelReference, alias: Alias, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """Remove an alias; the version stays."""
    found = await find_model(parts, principal, model)
    return _json(await _point(request, parts, principal, found, alias, None))


@router.post("/{model}/versions/{version}/archive", response_model=ModelVersion)
async def archive(
    model: ModelReference, version: VersionReference, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """Put a version aside: it is `latest` no longer and gets no alias, and still answers who names it."""
    return await _archived(request, parts, principal, await find_version(parts, principal, model, version), on=True)


@router.post("/{model}/versions/{version}/unarchive", response_model=ModelVersion)
async def unarchive(
    model: ModelReference, version: VersionReference, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """Take a version out of the archive."""
    return await _archived(request, parts, principal, await find_version(parts, principal, model, version), on=False)


@router.get("/{model}/versions/{version}/card", response_model=ModelCard)
async def card(
    model: ModelReference, version: VersionReference, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """The model card as JSON."""
    return await _artifact(request, parts, await find_version(parts, principal, model, version), "card")


@router.get("/{model}/versions/{version}/card.html")
async def card_page(
    model: ModelReference, version: VersionReference, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """The model card as a page that needs no network."""
    return await _artifact(request, parts, await find_version(parts, principal, model, version), "page")


@router.get("/{model}/versions/{version}/artifacts/{artifact}")
async def artifact(
    model: ModelReference,
    version: VersionReference,
    artifact: str,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
) -> Response:
    """A file of the version, such as `model`."""
    found = await find_version(parts, principal, model, version)
    if artifact not in found.trained.artifacts:
        known = ", ".join(sorted(found.trained.artifacts))
        raise ProblemError("not-found", f"{found.title} has no artifact {artifact!r}; it has {known}")
    filename = f"{found.model.name}-{found.version.number}{_SUFFIXES.get(artifact, '')}"
    return await _artifact(request, parts, found, artifact, filename)


@router.get("/{model}/compare", response_model=ModelComparison)
async def compare_versions(
    model: ModelReference,
    principal: Principal,
    parts: PartsDependency,
    a: Annotated[str, Query(description="A version, its number, an alias, or `latest`")],
    b: Annotated[str, Query(description="Another")],
) -> Response:
    """How two versions differ: metrics, settings, signature and data."""
    found = await find_model(parts, principal, model)
    return _json(compare(*[await _card(parts, await version_of(parts, found, each)) for each in (a, b)]))


@router.get("/{model}/audit", response_model=AuditPage)
async def list_audit(
    model: ModelReference, principal: Principal, parts: PartsDependency, limit: Limit = 50, cursor: str | None = None
) -> Response:
    """Who promoted, archived and deleted what, newest first."""
    found = await find_model(parts, principal, model)
    return await audit_page(parts, audit.OF_MODELS, found.id, f"{router.prefix}/{found.id}/audit", {}, limit, cursor)


async def _point(
    request: Request, parts: Parts, principal: str, model: ModelDocument, alias: str, version: str | None
) -> AliasMoved:
    """Raises ProblemError when somebody else moves the alias at the same moment, StoreUnavailable."""
    before = model.aliases.get(alias)
    if before != version:
        if not await models.move_alias(parts.database, model.id, alias, before, version):
            raise ProblemError("conflict", f"somebody else moved {alias!r} at the same moment")
        detail = {"alias": alias, "version": version, "before": before}
        await note(request, parts, principal, audit.ALIAS_MOVED, model.id, detail)
    return AliasMoved(alias=alias, version=version, before=before)


async def _archived(request: Request, parts: Parts, principal: str, found: Found, *, on: bool) -> Response:
    document = found.version
    if on and found.aliases:
        raise ProblemError("version-aliased", f"{', '.join(found.aliases)} points at {found.title}")
    if on != (document.archived_at is not None):
        at = datetime.now(UTC) if on else None
        await models.archive(parts.database, found.model.id, document.version, at)
        action = audit.ARCHIVED if on else audit.UNARCHIVED
        await note(request, parts, principal, action, found.model.id, {"version": document.version})
        document = document.model_copy(update={"archived_at": at})
    return _json(described(Found(found.model, document)))


async def _artifact(request: Request, parts: Parts, found: Found, name: str, filename: str | None = None) -> Response:
    media_type = _MEDIA_TYPES.get(name, "application/octet-stream")
    return await file_response(request, parts.blobs, found.trained.artifacts[name], media_type, filename)


async def _card(parts: Parts, found: Found) -> ModelCard:
    stored = found.trained.artifacts["card"]
    return ModelCard.model_validate_json(await parts.blobs.get(blob_path(stored.sha256), stored.sha256))


def _json(found: BaseModel) -> Response:
    return Response(found.model_dump_json(), media_type="application/json")
