"""`python -m consumers.learning`: the plugins as JSON. A bad one ends it with a message that says which."""

import sys

from pydantic import TypeAdapter

from consumers.learning.registry import descriptions
from schemas.plugins import PluginDescription

sys.stdout.buffer.write(TypeAdapter(list[PluginDescription]).dump_json(descriptions()))
