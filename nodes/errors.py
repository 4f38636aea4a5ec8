"""What can go wrong at a node. No HTTP here: the table `PROBLEMS` is in `nodes.api`.

    NodeError
    ├── BadInput(field, code)        one value that was sent or typed is wrong; never holds the value
    │   └── ShrinkStops              a snapshot is so much shorter that somebody must confirm it
    ├── BadItems(errors)             several wrong values at once
    ├── SourceUnreachable(source)    a register or database that is read gave a fault: nothing follows from it
    ├── UnknownReference             no flag with this local reference was ever published here
    ├── UnknownSource                no source of this name in the settings takes this
    ├── UnknownVisit                 no open visit with this id for this employee
    ├── UnknownCrisis                no declared break-glass with this id at this node
    ├── UnknownInquiry               nothing with this id is asked of this employee
    ├── CrisisSettled(reason)        a colleague was earlier, or the time for it is over
    ├── NotAllowed(reason)           this system or employee may not do this
    ├── LoginExpired                 the session of a citizen or employee has ended
    ├── LoginUnreachable             the provider's keys cannot be fetched: nobody's token can be checked
    ├── BrpUnavailable               the BRP cannot be asked, or its answer cannot be relied on
    ├── HubUnreachable               no answer from the hub: nothing was viewed, nothing is lost
    ├── HoldersUnreachable           fewer key holders answered than are needed: nothing was viewed
    │   └── GrantRefused             the login broker gives no grant on this login (any more)
    ├── HolderLied(holder)           a key holder's proof is wrong: everything was dropped
    ├── HolderRefused(code)          the key holders refuse this node (quota, grant, class)
    ├── Refused(reason)              the hub refused the question, and recorded that
    ├── ReceiptInvalid               an answer without valid proof that it was recorded: nothing is shown
    └── SettingsError                the process cannot start; says which setting or file

Refusing is an answer, failing is an exception: `Refused` is raised only where
the whole question was refused, a refusal of one person in a household is a
field of that person's view.
"""

from dataclasses import dataclass


class NodeError(Exception):
    """Anything this node says no with. Its text never holds input."""


class BadInput(NodeError):
    """One value is wrong.

    Args:
        field: Place in JSON-path form or the name of the form field, such as `bsn`.
        code: The rule that was broken, such as `elfproef`.
        detail: One sentence for a person; never the value.
    """

    def __init__(self, field: str, code: str, detail: str = "") -> None:
        super().__init__(f"{field}: {code}")
        self.field = field
        self.code = code
        self.detail = detail or code


@dataclass(frozen=True, slots=True)
class Wrong:
    """One broken rule: where, which rule, and a sentence about the rule."""

    field: str
    code: str
    detail: str


class BadItems(NodeError):
    """Everything that is wrong with one request, at once."""

    def __init__(self, errors: list[Wrong]) -> None:
        super().__init__(f"{len(errors)} wrong values")
        self.errors = errors


class ShrinkStops(BadInput):
    """The snapshot is empty or shrinks by more than the setting allows; nothing was done."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(
            "snapshot",
            "shrinks-too-much",
            f"The list had {before} rows and now has {after}. Confirm that this is right.",
        )
        self.before = before
        self.after = after


class SourceUnreachable(NodeError):
    """What a connector reads from gave a fault; it never means that nothing is there.

    Args:
        source: Name of the connector.
        reason: A code, such as `status-500`; never text of the other side.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"source {source} cannot be read now: {reason}; nothing was changed")
        self.source = source
        self.reason = reason


class SourceOff(NodeError):
    """The source was switched off: nothing is published until it is switched on again."""


class UnknownReference(NodeError):
    """No flag with this local reference was ever published by this node."""


class UnknownSource(NodeError):
    """No source of this name in the settings, or not of a type that can do this."""


class UnknownVisit(NodeError):
    """No open visit with this id belongs to this employee."""


class UnknownCrisis(NodeError):
    """No break-glass with this id was declared at this node."""


class UnknownInquiry(NodeError):
    """Nothing with this id is asked of this employee, or not any more."""


class CrisisSettled(NodeError):
    """Nothing can be said of this break-glass any more: `already-settled` or `too-late`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotAllowed(NodeError):
    """The caller may not do this; `reason` is a code about the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LoginExpired(NodeError):
    """The session ended: 15 minutes without use, or one hour in all."""


class LoginUnreachable(NodeError):
    """The keys of the organisation's login provider cannot be fetched."""


class BrpUnavailable(NodeError):
    """The BRP cannot be asked, or its answer cannot be relied on: what it would say counts as unknown."""


class HubUnreachable(NodeError):
    """The hub gave no answer, or said that it cannot answer now."""


class HoldersUnreachable(NodeError):
    """Fewer key holders answered than are needed."""


class GrantRefused(HoldersUnreachable):
    """The login broker answered, and gives no grant: the login is too old, or has had all it may have."""


class HolderLied(NodeError):
    """A key holder's answer does not verify; the whole result was dropped."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class HolderRefused(NodeError):
    """The key holders refuse this node; `code` is their problem code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Refused(NodeError):
    """The hub refused; `reason` is its problem code, about the asker only."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReceiptInvalid(NodeError):
    """The proof that the answer was recorded does not verify. Nothing is shown."""


class SettingsError(NodeError):
    """A setting or key file is missing or wrong; the process does not start."""
