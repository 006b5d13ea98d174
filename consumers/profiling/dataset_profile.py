"""`dataset.profile`: computed once for a version and a target; doing it again replaces it with the same figures."""

import tempfile
from pathlib import Path

from consumers.profiling.engine import profile
from consumers.runtime.files import fetched, kept
from consumers.runtime.handler import ChildTask, handles_long
from consumers.runtime.verdicts import Reject
from consumers.tables.lookup import owned_version
from producers.catalog import profile_id_of
from reports import render
from schemas.jobs.dataset_profile import DATASET_PROFILE, DatasetProfiled, ProfileDataset, ProfileHeadline
from schemas.profile import DatasetProfile

_TOP_ALERTS = 5


@handles_long(DATASET_PROFILE, slots=1)
def profile_dataset(task: ChildTask[ProfileDataset]) -> DatasetProfiled:
    params = task.params
    source = owned_version(task.envelope.principal, params.dataset_id, params.version, pointer="/params/version")
    types = {column.name: column.type for column in source.column_types}
    if params.target is not None and params.target not in types:
        raise Reject(f"/params/target: there is no column {params.target!r}")
    with tempfile.TemporaryDirectory(prefix="millrace-profile-") as scratch:
        folder = Path(scratch)
        table = fetched(source.table, folder)
        found = profile(
            table,
            name=source.name,
            dataset_id=params.dataset_id,
            version=params.version,
            target=params.target,
            types=types,
            progress=task.progress,
        )
        figures, report = folder / "profile.json", folder / "profile.html"
        figures.write_text(found.model_dump_json())
        report.write_text(render(found))
        return DatasetProfiled(
            profile_id=profile_id_of(params.dataset_id, params.version, params.target),
            dataset_id=params.dataset_id,
            version=params.version,
            target=params.target,
            headline=_headline(found),
            profile=kept(figures),
            report=kept(report),
        )


def _headline(found: DatasetProfile) -> ProfileHeadline:
    cells = found.rows * len(found.columns)
    return ProfileHeadline(
        rows=found.rows,
        columns=len(found.columns),
        missing_share=found.missing_cells / cells if cells else 0.0,
        duplicate_rows=round(found.duplicate_rows.value),
        alerts=len(found.alerts),
        top_alerts=[alert.message for alert in found.alerts[:_TOP_ALERTS]],
    )
