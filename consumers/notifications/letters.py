"""Mails, as text and as HTML that is safe by construction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consumers.notifications.notice import Notice
from reports.html import Html, el, void

_LONGEST = 200
_FOOT = "You get this because of your preferences: PUT /v1/notifications/preferences changes them."


@dataclass(frozen=True)
class Letter:
    subject: str
    text: str
    html: str


def single(notice: Notice, link: str | None) -> Letter:
    lines = [notice.title, "", notice.text, *(["", link] if link else [])]
    return _letter(notice.title, lines, [_entry(notice.title, notice.text, link)])


def digest(notices: Sequence[dict[str, Any]]) -> Letter:
    subject = f"{len(notices)} {'job has' if len(notices) == 1 else 'jobs have'} ended"
    lines, entries = [subject], []
    for found in notices:
        title = f"{found['at']:%H:%M} {found['title']}"
        lines += ["", title, f"  {found['text']}", f"  {found['link']}"]
        entries.append(_entry(title, found["text"], found["link"]))
    return _letter(subject, lines, entries)


def _letter(subject: str, lines: Sequence[str], entries: Sequence[Html]) -> Letter:
    style = "font-family: sans-serif; max-width: 40em; margin: 1em auto; line-height: 1.4"
    foot = el("p", _FOOT, style="color: #666; font-size: 85%")
    page = el("html", el("head", void("meta", charset="utf-8")), el("body", *entries, void("hr"), foot, style=style))
    one_line = " ".join(subject.split())[:_LONGEST]
    return Letter(one_line, "\n".join([*lines, "", "-- ", _FOOT, ""]), f"<!doctype html>{page}")


def _entry(title: str, text: str, link: str | None) -> Html:
    more = [el("p", el("a", link, href=link))] if link else []
    return el("div", el("h3", title), el("p", text), *more)
