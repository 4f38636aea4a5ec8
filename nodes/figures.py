"""How long others take to answer this node, and what it refuses.

Labels are holders, routes and fixed codes, never a person or colleague.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class NodeFigures:
    """Filled where the node calls out, read by its `/metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._holders = Histogram(
            "node_key_holder_seconds",
            "From asking a key holder until its answer or failure.",
            ["holder"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._hub = Histogram(
            "node_hub_seconds",
            "From asking the hub until its answer or failure.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )

        self._refusals = Counter(
            "node_refusals", "Calls refused, by the code of the problem.", ["code"], registry=self.registry
        )

        self._proofs = Counter(
            "node_log_proofs",
            "Own lines of the access log, by what became of them.",
            ["state"],
            registry=self.registry,
        )

    def proof(self, state: str) -> None:
        """One line of the log that is `confirmed`, or `missing` in what witnesses confirmed."""
        self._proofs.labels(state).inc()

    def refused(self, code: str) -> None:
        """One call of an own system that got a problem; `code` is from the table of problems."""
        self._refusals.labels(code).inc()

    def holder(self, holder: str, seconds: float) -> None:
        """One request to one key holder, answered or not."""
        self._holders.labels(holder).observe(seconds)

    def hub(self, route: str, seconds: float) -> None:
        """One signed request to the hub, answered or not."""
        self._hub.labels(route).observe(seconds)
