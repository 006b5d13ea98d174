"""Documents and their indexes, by family. Operations on a collection live in the module named after it."""

from beanie import Document

from storage.documents.claims import StoredClaim
from storage.documents.conversations import Conversation, ConversationDocument, Message, MessageDocument
from storage.documents.datasets import DatasetDocument, DatasetVersionDocument, ProfileDocument
from storage.documents.jobs import DeadlineDocument, JobDocument
from storage.documents.leases import LeaseDocument, LeaseState, OutgoingDocument, ScheduledDocument, WorkerDocument
from storage.documents.letters import AuditDocument, AuditEntry, DeadLetterDocument, Letter, LetterEdit, LetterState
from storage.documents.models import ModelDocument, ModelVersionDocument, PluginDocument, PredictionDocument
from storage.documents.notifications import (
    Browser,
    DeliveryDocument,
    Endpoint,
    Entry,
    Held,
    HeldDocument,
    NotificationDocument,
    PreferencesDocument,
    PushKeyDocument,
    PushSubscriptionDocument,
    StoredSecret,
    Told,
    WebhookDocument,
)
from storage.documents.tasks import TaskDocument, TaskUseDocument, TaskVersionDocument

__all__ = [
    "DOCUMENTS",
    "AuditDocument",
    "AuditEntry",
    "Browser",
    "Conversation",
    "ConversationDocument",
    "DatasetDocument",
    "DatasetVersionDocument",
    "DeadLetterDocument",
    "DeadlineDocument",
    "DeliveryDocument",
    "Endpoint",
    "Entry",
    "Held",
    "HeldDocument",
    "JobDocument",
    "LeaseDocument",
    "LeaseState",
    "Letter",
    "LetterEdit",
    "LetterState",
    "Message",
    "MessageDocument",
    "ModelDocument",
    "ModelVersionDocument",
    "NotificationDocument",
    "OutgoingDocument",
    "PluginDocument",
    "PredictionDocument",
    "PreferencesDocument",
    "ProfileDocument",
    "PushKeyDocument",
    "PushSubscriptionDocument",
    "ScheduledDocument",
    "StoredClaim",
    "StoredSecret",
    "TaskDocument",
    "TaskUseDocument",
    "TaskVersionDocument",
    "Told",
    "WebhookDocument",
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
    ScheduledDocument,
    WebhookDocument,
    PreferencesDocument,
    PushSubscriptionDocument,
    PushKeyDocument,
    DeliveryDocument,
    HeldDocument,
    NotificationDocument,
    TaskDocument,
    TaskVersionDocument,
    TaskUseDocument,
    ConversationDocument,
    MessageDocument,
)
