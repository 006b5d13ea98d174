"""Models: found by what a client calls them, shown as resources."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Path

from gateway.dependencies import Parts
from gateway.problems import ProblemError
from producers.catalog import model_id_of
from schemas.jobs.model_train import ModelTrained
from schemas.learning import LATEST
from schemas.registry import (
    Model,
    ModelLinks,
    ModelSummary,
    ModelVersion,
    ModelVersionLinks,
)
from storage import models
from storage.documents import ModelDocument, ModelVersionDocument
from storage.models import MODELS, meant

ModelReference = Annotated[str, Path(description="The id of a model, or its name")]
VersionReference = Annotated[str, Path(description="A version, its number, an alias, or `latest`")]


@dataclass(frozen=True)
class Found:
    """A version of a model."""

    model: ModelDocument
    version: ModelVersionDocument

    @property
    def aliases(self) -> list[str]:
        """Those that point at the version."""
        return _aliases(self.model, self.version.version)

    @property
    def trained(self) -> ModelTrained:
        return ModelTrained.model_validate(self.version.trained)

    @property
    def title(self) -> str:
        return f"version {self.version.number} of {self.model.name!r}"


async def find_model(parts: Parts, principal: str, model: str) -> ModelDocument:
    """By id or name. Raises ProblemError, StoreUnavailable."""
    found = await parts.store.reading(MODELS.find(model_id_of(principal, model)))
    if found is None:
        found = await parts.store.reading(MODELS.find(model))
    if found is None or found.principal != principal:
        raise ProblemError("not-found", f"there is no model {model!r}")
    return found


async def find_version(parts: Parts, principal: str, model: str, version: str | None) -> Found:
    """By version, its number or an alias; for None the champion, else the latest. Raises ProblemError,
    StoreUnavailable."""
    return await version_of(parts, await find_model(parts, principal, model), version)


async def version_of(parts: Parts, model: ModelDocument, version: str | None) -> Found:
    """Raises ProblemError, StoreUnavailable."""
    wanted = meant(model.aliases, model.latest, version)
    listed = await parts.store.reading(MODELS.versions(model.id))
    chosen = next((item for item in listed if wanted in (item.version, str(item.number))), None)
    if chosen is None:
        raise ProblemError("not-found", f"{model.name!r} has no version {version or wanted!r}")
    return Found(model, chosen)


async def resolve(parts: Parts, principal: str, model: str, version: str | None) -> tuple[str, str]:
    """The id of the model and the version that is meant, for a job: what an alias says is not looked up again.
    Raises ProblemError, StoreUnavailable."""
    for model_id in (model_id_of(principal, model), model):
        found = await parts.store.reading(models.pointers(parts.database, model_id))
        if found is not None and found["principal"] == principal:
            if version is None or version == LATEST or version in found["aliases"]:
                return model_id, meant(found["aliases"], found["latest"], version)
            break
    chosen = await find_version(parts, principal, model, version)
    return chosen.model.id, chosen.version.version


def summary(document: ModelDocument) -> ModelSummary:
    return ModelSummary.model_validate(_common(document))


def describe(found: Found) -> Model:
    return Model.model_validate({**_common(found.model), "version": described(found)})


def described(found: Found) -> ModelVersion:
    document, trained = found.version, found.trained
    at = f"/v1/models/{document.model_id}/versions/{document.version}"
    links = ModelVersionLinks(
        self=at,
        card=f"{at}/card",
        page=f"{at}/card.html",
        artifacts={name: f"{at}/artifacts/{name}" for name in trained.artifacts},
    )
    fields = ("version", "number", "created_at", "archived_at", "job_id")
    return ModelVersion(
        **{name: getattr(document, name) for name in fields},
        **{name: getattr(trained, name) for name in ModelVersion.model_fields if name in _OF_RESULT},
        aliases=found.aliases,
        links=links,
    )


_OF_RESULT = frozenset(ModelTrained.model_fields) - {"version"}


def _aliases(model: ModelDocument, version: str) -> list[str]:
    return sorted(alias for alias, pointed_at in model.aliases.items() if pointed_at == version)


def _common(document: ModelDocument) -> dict[str, Any]:
    at = f"/v1/models/{document.id}"
    links = {name: f"{at}/{name}" for name in ("versions", "predictions", "drift")}
    fields = ("id", "name", "principal", "created_at", "updated_at", "latest", "aliases")
    return {name: getattr(document, name) for name in fields} | {"links": ModelLinks(self=at, **links)}
