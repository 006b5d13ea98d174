"""The frame of a page: one file, no requests, and a policy that lets nothing but our own script and style run."""

import json
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from string import Template

from pydantic import JsonValue

from reports.figures import shown
from reports.html import Html, el, join

_SCRIPTS = ("dom.js", "figures.js", "theme.js")
_PACKAGE = "reports"
# In a script element only these can end it or start a comment; U+2028 and U+2029 end lines in old parsers.
_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def page(title: str, body: Html, data: JsonValue, *, scripts: Sequence[str] = (), styles: Sequence[str] = ()) -> str:
    """`scripts` and `styles` are what the page has beside those of every page, as text."""
    script, style = _script(tuple(scripts)), "\n".join([static(_PACKAGE, "report.css"), *styles])
    return Template(static(_PACKAGE, "page.html")).substitute(
        policy=_policy(script, style),
        title=join([shown(title)]),
        style=style,
        early=static(_PACKAGE, "early.js"),
        body=body,
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_UNSAFE),
        script=script,
    )


def section(anchor: str, title: str, *content: str, note: str = "") -> Html:
    heading = el("h2", title, id=f"{anchor}-title")
    head = el("div", heading, el("p", note, class_="note") if note else Html(""), class_="head")
    return el("section", head, *content, id=anchor, aria_labelledby=f"{anchor}-title")


def navigation(entries: list[tuple[str, str, str]]) -> Html:
    """Of (anchor, name, figure)."""
    links = [el("li", el("a", name, el("span", figure), href=f"#{anchor}")) for anchor, name, figure in entries]
    theme = el("button", "Theme: auto", type_="button", id="theme", class_="js-only")
    return el("nav", el("ul", *links), theme, aria_label="Sections")


def key_figures(entries: list[tuple[str, str, str]]) -> Html:
    """Of (name, figure, remark)."""
    told = [(name, el("strong", figure), el("span", remark)) for name, figure, remark in entries]
    parts = [el("div", el("dt", name), el("dd", figure, remark)) for name, figure, remark in told]
    return el("dl", *parts, class_="figures")


@cache
def static(package: str, name: str) -> str:
    """A file in the folder `static` of a package."""
    return files(package).joinpath("static", name).read_text("utf-8")


@cache
def _script(own: tuple[str, ...]) -> str:
    parts = "\n".join([*(static(_PACKAGE, name) for name in _SCRIPTS), *own])
    return f'(() => {{\n"use strict";\n{parts}}})();'


@cache
def _policy(script: str, style: str) -> str:
    scripts = f"{_hash(static(_PACKAGE, 'early.js'))} {_hash(script)}"
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
