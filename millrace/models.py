"""Models in the HTTP client: `Client().models`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from pydantic import TypeAdapter

from millrace.paging import pages
from schemas.jobs.model_predict import RequestLog
from schemas.model_card import ModelCard
from schemas.plugins import PluginDescription
from schemas.registry import (
    AliasMoved,
    Model,
    ModelComparison,
    ModelDrift,
    ModelPage,
    ModelSummary,
    ModelVersion,
    Prediction,
    PredictionPage,
)
from schemas.resources import Job

_PATH = "/v1/models"
_VERSIONS = TypeAdapter(list[ModelVersion])
_PLUGINS = TypeAdapter(list[PluginDescription])


class Models:
    """Train, look at, promote, compare, ask and delete. Models are named by id or by name, versions by version,
    number or alias, or as `latest`. Raises what the client raises."""

    def __init__(self, request: Callable[..., httpx.Response]) -> None:
        self._request = request

    def train(self, dataset: str, target: str, *, wait: float | None = None, **params: Any) -> Job:
        """Start a training. `params` are those of `model.train` that are not left to their defaults, and `version`,
        of the dataset."""
        return self._job(f"{_PATH}/train", {"dataset": dataset, "target": target, **params}, wait)

    def predict(
        self,
        model: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        version: str | None = None,
        explain: bool = False,
        log: RequestLog = RequestLog.FULL,
        wait: float | None = 30.0,
    ) -> Job:
        """Ask a model; without a version its champion answers, else the latest."""
        body = {"rows": list(rows), "explain": explain, "log": log.value, **_asked(version)}
        return self._job(f"{_at(model)}/predict", body, wait)

    def predict_dataset(
        self,
        model: str,
        dataset: str,
        *,
        version: str | None = None,
        dataset_version: str | None = None,
        name: str | None = None,
        wait: float | None = None,
    ) -> Job:
        """Ask for every row of a dataset; the answer becomes the dataset `name`."""
        optional = {"dataset_version": dataset_version, "name": name}
        body = {"dataset": dataset, **_asked(version), **{k: v for k, v in optional.items() if v is not None}}
        return self._job(f"{_at(model)}/predict-dataset", body, wait)

    def find(self, *, page_size: int = 100) -> Iterator[ModelSummary]:
        """Last trained first; fetches page after page as you go on."""
        for page in pages(self._request, ModelPage, f"{_PATH}?limit={page_size}"):
            yield from page.items

    def get(self, model: str) -> Model:
        """With the version that answers."""
        return Model.model_validate_json(self._request("GET", _at(model)).content)

    def versions(self, model: str) -> list[ModelVersion]:
        """Newest first."""
        return _VERSIONS.validate_json(self._request("GET", f"{_at(model)}/versions").content)

    def version(self, model: str, version: str) -> ModelVersion:
        return ModelVersion.model_validate_json(self._request("GET", _at(model, version)).content)

    def card(self, model: str, version: str) -> ModelCard:
        return ModelCard.model_validate_json(self._request("GET", f"{_at(model, version)}/card").content)

    def page(self, model: str, version: str) -> bytes:
        """The card as a page that needs no network."""
        return self._request("GET", f"{_at(model, version)}/card.html").content

    def promote(self, model: str, version: str, alias: str = "champion") -> AliasMoved:
        """Let an alias point at a version; the answer says where it pointed before."""
        url = f"{_at(model)}/aliases/{quote(alias, safe='')}"
        return AliasMoved.model_validate_json(self._request("PUT", url, json={"version": version}).content)

    def compare(self, model: str, a: str, b: str) -> ModelComparison:
        url = f"{_at(model)}/compare?{urlencode({'a': a, 'b': b})}"
        return ModelComparison.model_validate_json(self._request("GET", url).content)

    def predictions(self, model: str, *, version: str | None = None, page_size: int = 100) -> Iterator[Prediction]:
        """The request log, newest first."""
        query = urlencode({"limit": str(page_size), **({"version": version} if version else {})})
        for page in pages(self._request, PredictionPage, f"{_at(model)}/predictions?{query}"):
            yield from page.items

    def drift(self, model: str, *, version: str | None = None, days: float = 7) -> ModelDrift:
        query = urlencode({"days": str(days), **({"version": version} if version else {})})
        return ModelDrift.model_validate_json(self._request("GET", f"{_at(model)}/drift?{query}").content)

    def archive(self, model: str, version: str, *, back: bool = False) -> ModelVersion:
        """Put a version aside, or take it `back`."""
        url = f"{_at(model, version)}/{'unarchive' if back else 'archive'}"
        return ModelVersion.model_validate_json(self._request("POST", url).content)

    def delete(self, model: str, version: str | None = None, *, force: bool = False) -> None:
        """A version, or the model with all of them. With `force` also what an alias points at."""
        self._request("DELETE", f"{_at(model, version)}?{urlencode({'force': str(force).lower()})}")

    def plugins(self) -> list[PluginDescription]:
        """Trainers, preprocessors and metrics that can be named."""
        return _PLUGINS.validate_json(self._request("GET", "/v1/plugins").content)

    def _job(self, url: str, body: Mapping[str, Any], wait: float | None) -> Job:
        return Job.model_validate_json(self._request("POST", url, json=dict(body), wait=wait).content)


def _at(model: str, version: str | None = None) -> str:
    of_version = "" if version is None else f"/versions/{quote(version, safe='')}"
    return f"{_PATH}/{quote(model, safe='')}{of_version}"


def _asked(version: str | None) -> dict[str, str]:
    return {} if version is None else {"version": version}
