"""Every metric that Millrace exports: the closed list. Names are API; labels never hold ids."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)

JOBS_ACCEPTED = Counter("millrace_jobs_accepted_total", "Jobs answered with 202", ["kind"])
JOBS_REFUSED = Counter("millrace_jobs_refused_total", "Requests answered with a problem", ["problem"])
HTTP_SECONDS = Histogram(
    "millrace_http_request_seconds",
    "Time to answer; a stream counts until its end",
    ["method", "route", "status"],
    buckets=_SECONDS,
)
PUBLISH_SECONDS = Histogram(
    "millrace_publish_seconds", "Publish until the broker's confirm", ["exchange"], buckets=_SECONDS
)
QUEUE_WAIT_SECONDS = Histogram(
    "millrace_queue_wait_seconds", "Command published until a handler took it", ["kind"], buckets=_SECONDS
)
RUN_SECONDS = Histogram("millrace_run_seconds", "Time in the handler", ["kind"], buckets=_SECONDS)
OUTCOMES = Counter("millrace_outcomes_total", "Terminal outcomes published", ["kind", "state"])
RETRIES = Counter("millrace_retries_total", "Attempts sent to a delay tier", ["kind"])
PROGRAMS = Counter("millrace_programs_total", "Programs of users that ended in the sandbox", ["kind", "outcome"])
DEAD_LETTERS = Counter("millrace_dead_letters_total", "Messages given up on", ["queue", "reason"])
IN_FLIGHT = Gauge("millrace_in_flight", "Handlers running now", ["kind"])
PAUSED = Gauge("millrace_paused", "1 while a worker takes no work of a kind but to probe whether it can", ["kind"])
LEASES_LAPSED = Counter("millrace_leases_lapsed_total", "Leases that expired because their holder was gone", ["kind"])
QUEUE_DEPTH = Gauge("millrace_queue_depth", "Messages ready in a queue, as last seen by its consumer", ["queue"])
FOLD_LAG_SECONDS = Histogram(
    "millrace_fold_lag_seconds", "Event published until it is in the store", buckets=_SECONDS
)
FOLD_SIZE = Histogram("millrace_fold_size", "Events in one bulk", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
BATCH_SIZE = Histogram(
    "millrace_batch_size", "Inputs in one forward pass", ["kind"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
PADDING_WASTE = Histogram(
    "millrace_padding_waste_ratio",
    "Share of a batch's tokens that is padding",
    ["kind"],
    buckets=(0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8),
)
ANSWERS = Counter(
    "millrace_answers_total", "Inputs by whether their answer was kept: hit, miss, or skipped", ["kind", "fate"]
)
MODEL_RESIDENT_BYTES = Gauge("millrace_model_resident_bytes", "Memory held by a loaded model", ["model"])
MODEL_LOAD_SECONDS = Histogram("millrace_model_load_seconds", "Time to load a model", buckets=_SECONDS)
JOBS = Gauge("millrace_jobs", "Jobs that have not ended, as last counted by the reaper", ["state"])
JOBS_UNACCOUNTED = Gauge("millrace_jobs_unaccounted", "Live jobs that no queue, tier, lease or worker holds")
DATASET_ROWS = Counter("millrace_dataset_rows_total", "Rows of ingested files, kept or rejected", ["fate"])
DATASET_BYTES = Counter("millrace_dataset_bytes_total", "Bytes of the tables that were made of them")
SUBSCRIBERS = Gauge("millrace_subscribers", "Streams and sockets that are open now", ["transport"])
GAPS = Counter("millrace_subscriber_gaps_total", "Times that a subscriber was told that events are missing")
NOTIFICATIONS = Counter("millrace_notifications_total", "Attempts to tell somebody of an event", ["channel", "state"])
WEBHOOKS_DISABLED = Counter("millrace_webhooks_disabled_total", "Endpoints that get nothing any more")
