"""What a plugin says of itself: trainers, preprocessors and metrics that the workers have found."""

from enum import StrEnum

from pydantic import JsonValue

from schemas.learning import LearningTask
from schemas.resources import Resource


class PluginKind(StrEnum):
    TRAINER = "trainer"
    PREPROCESSOR = "preprocessor"
    METRIC = "metric"


class PluginDescription(Resource):
    kind: PluginKind
    name: str
    summary: str
    tasks: list[LearningTask]
    """Those that it serves."""
    config_schema: dict[str, JsonValue]
    """JSON Schema of its settings, with their defaults."""
    package: str
    """The distribution that brought it, with its version."""
