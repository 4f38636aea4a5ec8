"""What the hub refuses or cannot do, and the one table that makes problems of it.

    HubError
    ├── Unauthenticated      signature, time, audience, digest, replay: all alike, counted, no entry
    ├── NotAllowed           the caller is known and may not do this
    ├── OverRate             the caller's own budget is spent
    ├── ReceiptsRefused      holder receipts missing, invalid, spent or too few
    ├── TicketRefused        the ticket is not for this caller, role, purpose and case, or has ended
    ├── ScopesRefused        other scopes asked than the role and purpose have
    ├── PointsRefused        the sealed points do not open for this sender and message
    ├── StalePoints          points made under a manifest whose key has changed since
    ├── ChoicesFull          the citizen's choices in force do not fit their row
    ├── Rejected             a rule that names itself: `code` is from a fixed list, never input
    ├── MessageConflict      the same message id with another body
    ├── PolicyStopped        the version in force was stopped: Cedar says otherwise than its table
    ├── LogUnconfirmed       no quorum of witnesses confirmed the log for as long as the setting allows
    └── LogUnavailable       nothing could be recorded, so nothing was answered
        ├── Overloaded       enough waits already: refused before it was read or decided
        └── PolicyAway       the version in force is not at hand in this process yet
            └── PolicyChanged  another came into force while the call was on its way

An error speaks of the asker, never of a person, and repeats no input. No HTTP
here but in the table; anything that is not a `HubError` becomes one constant 500.
"""

from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response

from index.protocol.http import FieldError, Problem, problem_response


class HubError(Exception):
    """Base of what the hub answers with a problem. `code` is what an entry keeps in `refused`."""

    code = "error"


class Unauthenticated(HubError):
    code = "unauthenticated"


class NotAllowed(HubError):
    code = "not-allowed"


class OverRate(HubError):
    code = "over-rate"


class ReceiptsRefused(HubError):
    code = "holder-receipts"


class TicketRefused(HubError):
    code = "ticket"


class ScopesRefused(HubError):
    code = "scopes"


class PurposeRefused(HubError):
    """The role does not have this purpose; recorded for the persons whom the question was about."""

    code = "purpose"


class PointsRefused(HubError):
    code = "points"


class StalePoints(HubError):
    code = "stale-points"


class ChoicesFull(HubError):
    code = "choices-full"


class Rejected(HubError):
    """A rule of the body's content. `code` must come from the program, never from input."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class MessageConflict(HubError):
    code = "message-conflict"


class LogUnavailable(HubError):
    code = "log-unavailable"


class Overloaded(LogUnavailable):
    """More waits than the writer can do in time. Says nothing of asker or person; leaves no entry."""

    code = "overloaded"


class PolicyAway(LogUnavailable):
    """Another version of the policy came into force and this process is loading it. Leaves no entry."""

    code = "policy-away"


class PolicyChanged(PolicyAway):
    """It was let in under a version that is in force no more; nothing was done or spent."""


class PolicyStopped(HubError):
    """Answers under this version are stopped until another is in force; recorded like any refusal."""

    code = "policy-stopped"


class LogUnconfirmed(HubError):
    """Nobody confirmed the log for too long, and the hub is set to refuse then; recorded like any refusal."""

    code = "log-unconfirmed"


class WorkFailed(Exception):
    """Something unexpected inside a work; nothing was changed. Not a refusal: it becomes the constant 500."""


PROBLEMS: Mapping[type[HubError], tuple[Problem, str]] = {
    Unauthenticated: (
        Problem("unauthenticated", 401, "Who calls is not proven"),
        "The signed statement was not accepted. Nothing was done.",
    ),
    NotAllowed: (
        Problem("not-allowed", 403, "The caller may not do this"),
        "This node, role or purpose has no rule that allows the call. Nothing was done.",
    ),
    OverRate: (
        Problem("over-rate", 429, "Too many requests"),
        "The budget of this node or employee is spent; wait a minute. Nothing was done.",
    ),
    ReceiptsRefused: (
        Problem("holder-receipts", 403, "The key holders' receipts are not accepted"),
        "Receipts of enough distinct key holders, unspent and for this many units, are needed.",
    ),
    TicketRefused: (
        Problem("ticket-refused", 403, "The ticket is not accepted"),
        "The ticket is not for this caller, role, purpose and case, or it has ended. Open a new visit.",
    ),
    ScopesRefused: (
        Problem("scopes-refused", 403, "Other scopes than this role and purpose have"),
        "Ask for exactly the scopes in which the role may see anything for this purpose.",
    ),
    PurposeRefused: (
        Problem("purpose-not-allowed", 403, "The role may not look for this purpose"),
        "Nothing was opened. The question was recorded for the persons it was about.",
    ),
    PointsRefused: (
        Problem("points-refused", 400, "The sealed points are not accepted"),
        "The points do not open for this sender and message, or are not as many as needed.",
    ),
    StalePoints: (
        Problem("stale-points", 409, "Points of an earlier key"),
        "The manifest has changed; evaluate again.",
    ),
    ChoicesFull: (
        Problem("choices-full", 409, "Too many choices in force"),
        "There is no room for another choice in this scope; stop one first. Nothing was written.",
    ),
    Rejected: (Problem("rejected", 400, "A rule refuses this"), "See errors for the rule."),
    MessageConflict: (
        Problem("message-conflict", 422, "The same message with another body"),
        "This message id was used before with another body. Nothing was done.",
    ),
    LogUnavailable: (
        Problem("log-unavailable", 503, "Nothing could be recorded"),
        "Nothing was answered and nothing was changed; try again.",
    ),
    PolicyAway: (
        Problem("policy-away", 503, "Another policy has come into force"),
        "This process is loading it. Nothing was read, answered or changed; try again in a moment.",
    ),
    PolicyChanged: (
        Problem("policy-away", 503, "Another policy has come into force"),
        "It came into force while this call was on its way. Nothing was done; try again.",
    ),
    PolicyStopped: (
        Problem("policy-stopped", 503, "Answers are stopped"),
        "A check found that this version of the policy answers wrongly. Nothing was shown.",
    ),
    LogUnconfirmed: (
        Problem("log-unconfirmed", 503, "The log is not confirmed"),
        "The organisations that confirm the access log could not be reached for too long. Nothing was shown.",
    ),
    Overloaded: (
        Problem("overloaded", 503, "Too much is waiting"),
        "Nothing was read, answered or changed; try again in a moment.",
    ),
}

INTERNAL = Problem("internal", 500, "Something went wrong")
INTERNAL_DETAIL = "Nothing was answered. The time of the request finds it in the hub's log."
NOT_FOUND = Problem("not-found", 404, "Nothing here")
WRONG_METHOD = Problem("method-not-allowed", 405, "Not with this method")


def problem_of(error: HubError) -> Response:
    """The problem of a refusal; the same bytes for the same class and code."""
    problem, detail = PROBLEMS[type(error)]
    fields = [FieldError("body", "$", error.code, detail)] if isinstance(error, Rejected) else None
    retry = {429: "60", 503: "2"}.get(problem.status)
    headers = {"Retry-After": retry} if retry else None
    return problem_response(problem, detail, errors=fields, headers=headers)


ASKERS_OWN: tuple[type[HubError], ...] = (
    Unauthenticated, NotAllowed, OverRate, ReceiptsRefused, TicketRefused, ScopesRefused,
    PurposeRefused, PointsRefused, StalePoints, MessageConflict, LogUnavailable, Overloaded,
)  # fmt: skip
"""Refusals that follow from asker and load alone: only these are counted each under its own code."""

_CODES = {bytes(problem_of(kind()).body): kind.code for kind in ASKERS_OWN}


def counted_as(response: Response) -> str:
    """The code under which figures count an answer of 400 or more: a fixed word, or the status."""
    return _CODES.get(bytes(response.body), str(response.status_code))


def place_of(error: BaseException) -> str:
    """File and line where an unexpected error arose: for the log, where its text might hold a search key."""
    place = "unknown"
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def internal_problem() -> Response:
    """The one answer to anything unexpected."""
    return problem_response(INTERNAL, INTERNAL_DETAIL)
