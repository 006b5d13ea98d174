"""`python -m consumers.execution.sandbox [--json]`: the tier of this host, by layers. Fails where there is none."""

import asyncio
import json
import sys

from consumers.execution.sandbox.examination import Examination, examine
from consumers.execution.sandbox.settings import SandboxSettings


def main() -> None:
    found = asyncio.run(examine(SandboxSettings()))
    sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n" if "--json" in sys.argv[1:] else _page(found))
    sys.exit(found.tier is None)


def _page(found: Examination) -> str:
    lines = [f"sandbox: tier {found.tier}" if found.tier else f"sandbox: unavailable. {found.why}"]
    for layer in found.layers:
        lines.append(f"  {'held    ' if layer.held else 'NOT HELD'}  {layer.name:24} {layer.found}")
        if layer.remedy:
            lines.append(f"            {layer.remedy}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
