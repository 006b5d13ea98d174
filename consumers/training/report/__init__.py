"""A model's card as a page, in the language of the reports on datasets."""

from consumers.training.report import sections
from reports.frame import navigation, page, static
from reports.html import el, join
from schemas.model_card import ModelCard

__all__ = ["render"]


def render(card: ModelCard) -> str:
    """`card.html`."""
    parts = [
        sections.warned(card),
        sections.metrics(card),
        sections.importances(card),
        sections.errors(card),
        sections.trials(card),
        sections.inputs(card),
        sections.origin(card),
    ]
    links = navigation(list(sections.navigation_of(card)))
    body = join([sections.header(card), links, el("main", *parts, id="main")])
    return page(f"{card.name} - model card", body, {}, styles=[static("consumers.training.report", "card.css")])
