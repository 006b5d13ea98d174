"""HTML that is safe by construction: text is escaped unless it was built here."""

import re
from collections.abc import Iterable
from html import escape


class Html(str):
    """Markup. A plain `str` is text, and text is escaped wherever it is put."""

    __slots__ = ()


Attribute = str | int | bool | None

_SPECIAL = {"class_": "class", "for_": "for", "type_": "type"}


def el(tag: str, *children: str, **attributes: Attribute) -> Html:
    """An element; `aria_label` becomes `aria-label`, None and False leave an attribute out."""
    return Html(f"<{tag}{_attributes(attributes)}>{join(children)}</{tag}>")


def void(tag: str, **attributes: Attribute) -> Html:
    return Html(f"<{tag}{_attributes(attributes)}>")


def join(children: Iterable[str]) -> Html:
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def breakable(text: str) -> Html:
    """A name that may be broken where its words end."""
    parts = re.split(r"(?<=[_./:-])(?=[^_./:-])", text)
    return Html("<wbr>".join(escape(part) for part in parts))


def _attributes(attributes: dict[str, Attribute]) -> str:
    found = []
    for key, value in attributes.items():
        name = _SPECIAL.get(key) or key.replace("_", "-")
        if value is True:
            found.append(f" {name}")
        elif value is not None and value is not False:
            found.append(f' {name}="{escape(str(value))}"')
    return "".join(found)
