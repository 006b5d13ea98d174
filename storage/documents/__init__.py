"""Documents and their indexes, by family. Operations on a collection live in the module named after it."""

from beanie import Document

from storage.documents.claims import StoredClaim
from storage.documents.datasets import DatasetDocument, DatasetVersionDocument, ProfileDocument
from storage.documents.jobs import DeadlineDocument, JobDocument
from storage.documents.leases import LeaseDocument, LeaseState, OutgoingDocument, WorkerDocument
from storage.documents.letters import AuditDocument, AuditEntry, DeadLetterDocument, Letter, LetterEdit, LetterState
from storage.documents.models import ModelDocument, ModelVersionDocument, PluginDocument, PredictionDocument
from storage.documents.tasks import TaskDocument, TaskUseDocument, TaskVersionDocument

__all__ = [
    "DOCUMENTS",
    "AuditDocument",
    "AuditEntry",
    "DatasetDocument",
    "DatasetVersionDocument",
    "DeadLetterDocument",
    "DeadlineDocument",
    "JobDocument",
    "LeaseDocument",
    "LeaseState",
    "Letter",
    "LetterEdit",
    "LetterState",
    "ModelDocument",
    "ModelVersionDocument",
    "OutgoingDocument",
    "PluginDocument",
    "PredictionDocument",
    "ProfileDocument",
    "StoredClaim",
    "TaskDocument",
    "TaskUseDocument",
    "TaskVersionDocument",
    "WorkerDocument",
]

DOCUMENTS: tuple[type[Document], ...] = (
    JobDocument,
    DeadlineDocument,
    LeaseDocument,
    WorkerDocument,
    DeadLetterDocument,
    AuditDocument,
    DatasetDocument,
    DatasetVersionDocument,
    ProfileDocument,
    ModelDocument,
    ModelVersionDocument,
    PredictionDocument,
    PluginDocument,
    TaskDocument,
    TaskVersionDocument,
    TaskUseDocument,
)
