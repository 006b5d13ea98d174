"""A profile as a page: one file that needs nothing else, to open, to print and to send."""

from reports import details, overview, relations
from reports.columns import table
from reports.comparison import render_comparison
from reports.figures import count
from reports.frame import navigation, page
from reports.html import el, join
from reports.scripts import scripts
from schemas.profile import DatasetProfile

__all__ = ["render", "render_comparison"]


def render(profile: DatasetProfile) -> str:
    """`profile.html`."""
    sections = [
        ("alerts", "Alerts", count(len(profile.alerts)), overview.alerts(profile)),
        ("columns", "Columns", count(len(profile.columns)), table(profile)),
        ("correlations", "Correlations", "", relations.correlations(profile)),
        ("missing", "Missing together", "", relations.missing(profile)),
        ("target", "Target", "", relations.targets(profile)),
        ("sample", "Sample", "", relations.sample(profile)),
    ]
    present = [each for each in sections if each[-1]]
    links = navigation([(anchor, name, figure) for anchor, name, figure, _ in present])
    main = el("main", *(content for *_, content in present), id="main")
    body = join([overview.header(profile), links, main])
    return page(f"{profile.name} - profile", body, details.data(profile), scripts=scripts())
