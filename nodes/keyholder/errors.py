"""What a key holder says no with. No HTTP here: `PROBLEMS` in `app` makes problems.

    CannotStart                   a file or setting is missing or wrong; names it
    Refusal                       one request is refused, about the node and its quota only
    ├── NotSigned        (check 2)  unknown node, or its signature does not hold for this holder
    ├── ClockApart       (check 3)  the request is older or newer than 60 s
    ├── NonceSeen        (check 4)  the same request was here before
    ├── VersionNotServed (check 5)  another manifest version is in force
    ├── NotAllowed       (check 6)  key state, class or scope is not for this node
    ├── GrantRefused     (check 6)  no valid grant of a login broker, or its units are spent
    ├── BadElements      (check 7)  an element is not canonical, or is the identity
    └── QuotaSpent       (check 8)  this node's counter of this class is full
    StoreUnavailable              counters cannot be kept, so nothing is evaluated
    └── ClockWentBack             nonces of a later time are stored: replays could not be told apart

Check 1 (size and shape) is `index.protocol.http.BadBody`.
"""


class CannotStart(Exception):
    """A file or setting is missing or wrong. Names it and what to do; shows no secret."""


class Refusal(Exception):
    """A request is refused. What it says depends on the node and its quota only."""


class NotSigned(Refusal):
    """The node is not in the directory, or its signature does not hold here."""


class ClockApart(Refusal):
    """The time of the request is more than 60 s from this holder's clock."""


class NonceSeen(Refusal):
    """This nonce was used before."""


class VersionNotServed(Refusal):
    """The request is for another manifest version than the one in force."""


class NotAllowed(Refusal):
    """This node may not use this key in this class."""


class GrantRefused(Refusal):
    """The class needs a grant, and this one does not count or is spent."""


class BadElements(Refusal):
    """An element is not canonical, or is the identity."""


class QuotaSpent(Refusal):
    """The counter is full. `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("quota")
        self.retry_after = retry_after


class StoreUnavailable(Exception):
    """The counter store cannot be written; nothing is evaluated without counting."""


class ClockWentBack(StoreUnavailable):
    """The clock stands before times that are already stored."""
