"""Which plugins there are: ours by discovery, others' by entry points. A bad one ends the process at start-up."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from consumers.learning.plugins import Config, Metric, Plugin, Preprocessor, Trainer
from consumers.runtime.verdicts import Reject
from schemas.learning import LearningTask, PluginName
from schemas.plugins import PluginDescription, PluginKind
from schemas.values import JsonObject

AnyTrainer = Trainer[Any, Any]
AnyPreprocessor = Preprocessor[Any]

P = TypeVar("P", bound=Plugin)

_TYPES: dict[PluginKind, type[Plugin]] = {
    PluginKind.TRAINER: Trainer,
    PluginKind.PREPROCESSOR: Preprocessor,
    PluginKind.METRIC: Metric,
}
_NAME = TypeAdapter(PluginName)


@dataclass(frozen=True)
class Found:
    plugin: Any
    where: str
    """Module or entry point, for whoever has to mend it."""
    package: str


def trainers() -> Mapping[str, AnyTrainer]:
    return {name: cast(AnyTrainer, found.plugin) for name, found in _registered(PluginKind.TRAINER).items()}


def preprocessors() -> Mapping[str, AnyPreprocessor]:
    return {name: cast(AnyPreprocessor, found.plugin) for name, found in _registered(PluginKind.PREPROCESSOR).items()}


def metrics() -> Mapping[str, Metric]:
    return {name: cast(Metric, found.plugin) for name, found in _registered(PluginKind.METRIC).items()}


def descriptions() -> list[PluginDescription]:
    """Of all plugins, by kind and name."""
    return [
        _description(found.plugin, found.package)
        for kind in PluginKind
        for _, found in sorted(_registered(kind).items())
    ]


def chosen(plugins: Mapping[str, P], name: str, pointer: str) -> P:
    """The plugin of that name. Raises Reject, which names the others."""
    if name not in plugins:
        raise Reject(f"{pointer}: there is no {name!r}; known are {', '.join(sorted(plugins))}")
    return plugins[name]


def configured(plugin: Plugin, settings: JsonObject, pointer: str) -> Config:
    """The settings as the plugin's own class. Raises Reject, which names each that does not fit."""
    try:
        return plugin.config.model_validate(settings)
    except ValidationError as error:
        wrong = ("/".join([pointer, *map(str, each["loc"])]) + f": {each['msg']}" for each in error.errors())
        raise Reject("; ".join(wrong)) from None


def registered(kind: PluginKind, found: Iterable[Found]) -> dict[str, Found]:
    """By name. Raises TypeError for what is no such plugin, has a bad name, or has another's name."""
    by_name: dict[str, Found] = {}
    for each in found:
        name = _checked(kind, each)
        if name in by_name:
            raise TypeError(f"the {kind} {name!r} is declared by both {by_name[name].where} and {each.where}")
        by_name[name] = each
    return by_name


def _checked(kind: PluginKind, found: Found) -> str:
    plugin, wanted = found.plugin, _TYPES[kind]
    if not isinstance(plugin, wanted):
        raise TypeError(f"{found.where} must be an instance of {wanted.__name__}, not {plugin!r}")
    name = getattr(plugin, "name", None)
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise TypeError(f"{found.where}: {name!r} is no name of a {kind}; write one like 'random-forest'") from None
    if not (type(plugin).__doc__ or "").strip():
        raise TypeError(f"{found.where} needs a docstring: its first line is the summary")
    if not issubclass(plugin.config, Config):
        raise TypeError(f"{found.where}: config must be a subclass of {Config.__module__}.Config")
    return str(name)


@cache
def _registered(kind: PluginKind) -> dict[str, Found]:
    return registered(kind, [*_ours(kind), *map(_brought, entry_points(group=f"millrace.{kind}s"))])


def _ours(kind: PluginKind) -> Iterator[Found]:
    package = importlib.import_module(f"consumers.learning.{kind}s")
    own = f"millrace {version('millrace')}"
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        plugins = [value for value in vars(module).values() if isinstance(value, _TYPES[kind])]
        yield from (Found(plugin, f"{module.__name__}.{type(plugin).__name__}", own) for plugin in plugins)


def _brought(entry_point: EntryPoint) -> Found:
    where = f"{entry_point.group}: {entry_point.name} = {entry_point.value}"
    try:
        plugin = entry_point.load()
    except (ImportError, AttributeError) as error:
        raise TypeError(f"{where} cannot be loaded: {error}") from error
    brought_by = entry_point.dist
    return Found(plugin, where, f"{brought_by.name} {brought_by.version}" if brought_by else "unknown")


def _description(plugin: Plugin, package: str) -> PluginDescription:
    return PluginDescription(
        kind=plugin.kind,
        name=plugin.name,
        summary=(type(plugin).__doc__ or "").strip().splitlines()[0],
        tasks=[task for task in LearningTask if task in plugin.tasks],
        config_schema=plugin.config.model_json_schema(),
        package=package,
    )
