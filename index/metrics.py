"""Figures of one hub process for Prometheus. No label and no figure varies with a person.

Routes, statuses and fixed words are the only labels. A lookup that shows
nothing and one that shows everything count alike: both are a 200.

Source: docs/design/policy.md, "Indistinguishability" S12.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA = "text/plain; version=0.0.4"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class HubMetrics:
    """Counted by gate and writer, read by `/metrics`; safe to use from both threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        to = self.registry
        self.batch_persons = Histogram(
            "vlagwijzer_hub_batch_persons",
            "Persons in one transaction.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 256, 1000),
            registry=to,
        )
        self.batch_seconds = Histogram(
            "vlagwijzer_hub_batch_seconds",
            "From taking a batch until it is committed.",
            buckets=_SECONDS,
            registry=to,
        )
        self.commit_seconds = Histogram(
            "vlagwijzer_hub_commit_seconds", "The commit itself.", buckets=_SECONDS, registry=to
        )
        self.batches = Counter("vlagwijzer_hub_batches", "Batches committed.", registry=to)
        self.works = Counter("vlagwijzer_hub_works", "Works answered after their commit.", registry=to)
        self.not_recorded = Counter(
            "vlagwijzer_hub_not_recorded", "Works refused because nothing could be recorded.", registry=to
        )
        self.policy_number = Gauge(
            "vlagwijzer_hub_policy_number", "Version of the policy in force, as last read.", registry=to
        )
        self.policy_stopped = Gauge(
            "vlagwijzer_hub_policy_stopped", "1 while answers are stopped: Cedar says otherwise.", registry=to
        )
        self.rechecked = Counter(
            "vlagwijzer_hub_decisions_rechecked",
            "Recorded decisions Cedar was asked about again.",
            registry=to,
        )
        self.recheck_differences = Counter(
            "vlagwijzer_hub_recheck_differences", "Recorded decisions that Cedar would not give.", registry=to
        )
        self.waiting = Gauge("vlagwijzer_hub_waiting", "Works that wait for the writer.", registry=to)
        self.waiting_persons = Gauge(
            "vlagwijzer_hub_waiting_persons", "Persons in the works that wait.", registry=to
        )
        self.in_hand = Gauge(
            "vlagwijzer_hub_requests_in_hand", "Signed requests let in and not answered yet.", registry=to
        )
        self.spent = Gauge(
            "vlagwijzer_hub_spent_values", "One-time values held in memory until their own end.", registry=to
        )
        self.overloaded = Counter(
            "vlagwijzer_hub_overloaded", "Requests refused because enough wait already.", registry=to
        )
        self.answers = Counter(
            "vlagwijzer_hub_answers", "Signed requests by route and status.", ["route", "status"], registry=to
        )
        self.refusals = Counter(
            "vlagwijzer_hub_refusals", "Signed requests refused, by code.", ["code"], registry=to
        )
        self.log_confirmed_age = Gauge(
            "vlagwijzer_hub_log_confirmed_age_seconds",
            "Since a quorum of witnesses last confirmed the log, or since the start.",
            registry=to,
        )
        self.log_refused = Gauge(
            "vlagwijzer_hub_log_refused",
            "1 while nothing is signed: the log is not the witnessed one.",
            registry=to,
        )
        self.witness_answers = Counter(
            "vlagwijzer_hub_witness_answers",
            "Checkpoints offered, by witness and what came of it.",
            ["witness", "said"],
            registry=to,
        )
        self.failed_authentications = Gauge(
            "vlagwijzer_hub_failed_authentications_total", "Calls that were not proven.", registry=to
        )

    def batch(self, persons: int, works: int, seconds: float) -> None:
        """One committed batch."""
        self.batches.inc()
        self.works.inc(works)
        self.batch_persons.observe(persons)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)
