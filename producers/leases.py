"""What is published on behalf of a lease: by its holder, or by the reaper when the holder is gone."""

from collections.abc import Sequence
from typing import Any

from messaging.message import OutgoingMessage
from producers.outbox import Outbox, Parcel, returned
from storage.leases import Lease, Leases
from telemetry import failpoints


def settlement(parcels: Sequence[Parcel]) -> list[dict[str, Any]]:
    """Parcels as a lease keeps them."""
    return [
        {
            "exchange": parcel.exchange,
            "routing_key": parcel.routing_key,
            "headers": parcel.message.headers,
            "body": parcel.message.body,
        }
        for parcel in parcels
    ]


async def publish_outbox(settled: Lease, leases: Leases, outbox: Outbox) -> None:
    """Publish what was decided, and be done with the lease. Doing it twice is harmless: it is the same event with the
    same id, or the same next attempt, which is claimed once. Raises PublishFailed, StoreUnavailable."""
    for item in settled.outbox:
        message = OutgoingMessage(item["headers"], bytes(item["body"]))
        await outbox.send(Parcel(message, item["exchange"], item["routing_key"]))
    failpoints.reach("settle.before-finish")
    await leases.finish(settled)


async def put_back(lapsed: Lease, leases: Leases, outbox: Outbox, parcel: Parcel | None = None) -> None:
    """Publish the command of a lapsed lease again: as `parcel`, else straight to its work queue.

    Raises PublishFailed, StoreUnavailable.
    """
    failpoints.reach("reaper.before-republish")
    await outbox.send(parcel or returned(lapsed.kind, lapsed.headers, lapsed.body))
    failpoints.reach("reaper.after-republish")
    await leases.requeued(lapsed)
