"""Opening one person's entries on suspicion: two officers of two organisations, and the person sees it.

    an officer asks, for one entry, with a reason from a list
    -> an officer of another organisation approves, within a day
    -> entry `open` in the person's own chains, and only then the lines of those chains, for 24 hours

The hub opens entries and never a person: it knows chains of the year and the
subjects of that one look. Who it is, only a node can say that knows the number,
and the trail over all subjects only the portal or that node.

Source: docs/design/access-log.md, "Views and verification"; screens.md O6.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

import msgspec
from sqlalchemy import Connection, insert, select, update

from index.acts import Refused
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import EntryDraft, kinds_shown, read_handles
from index.store.tables import opening as opening_table

if TYPE_CHECKING:
    from index.accesslog.reading import Found
    from index.hub import Hub

OpenReason = Literal["vermoeden_misbruik", "klacht_inwoner", "datalek", "onderzoek_toezichthouder"]
OPEN_REASONS: tuple[OpenReason, ...] = get_args(OpenReason)
VALID = timedelta(hours=24)
_KIND = "opening"


class Wish(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked and approved. Times are Unix seconds; `by` and `approved_by` ids of officers."""

    year: int
    index: int
    reason: str
    by: str
    org: str
    asked: int
    approved_by: str = ""
    approved_org: str = ""
    approved: int = 0

    def state_at(self, seconds: int) -> Literal["waiting", "open", "over"]:
        """What it is worth at an instant."""
        since = self.approved or self.asked
        if seconds >= since + VALID.total_seconds():
            return "over"
        return "open" if self.approved else "waiting"


@dataclass(frozen=True, slots=True)
class WishView:
    """A wish as an officer's page shows it; `id` is text for a form."""

    id: str
    wish: Wish
    state: Literal["waiting", "open", "over"]

    @property
    def until(self) -> datetime:
        """Until when it can be approved, or looked at."""
        return datetime.fromtimestamp(self.wish.approved or self.wish.asked, UTC) + VALID


def request(hub: Hub, place: tuple[int, int], reason: OpenReason, officer: str, org: str) -> str:
    """Ask to open the person of one entry; the wish's id. Nothing is opened yet. Blocks.

    Args:
        place: Year and index of the entry.
        officer, org: Id of the officer, and the OIN that the identity provider states for them.

    Raises:
        Refused: The officer has no organisation, or the entry is about nobody, postponed, of
            another year's log or no longer kept.
    """
    _check_org(hub, org)
    with hub.reading() as connection:
        _entry(hub, connection, place)
    key = secrets.token_bytes(16)
    with hub.office.sitting() as sitting:
        wish = Wish(*place, reason, officer, org, sitting.seconds)
        sitting.connection.execute(insert(opening_table), [{"key": key, "sealed": _sealed(hub, key, wish)}])
        more: dict[str, str | int] = {"cause": f"open-asked-{reason}", "index": place[1], "year": place[0]}
        sitting.append(EntryDraft(t="admin", ts=0, req="", more=more))
    return b64u(key)


def approve(hub: Hub, id_: str, officer: str, org: str) -> None:
    """Approve as the second officer; the entry `open` stands in the person's chains after it. Blocks.

    1. The wish waits, and its day is not over.
    2. Another officer, of another organisation.
    3. The entry can still be opened, in the log that is written now.

    Raises:
        Refused: One of these does not hold; nothing was opened.
    """
    _check_org(hub, org)
    key = unb64u(id_, 16)
    with hub.office.sitting() as sitting:
        wish = _read(hub, sitting.connection, key)
        if wish is None or wish.state_at(sitting.seconds) != "waiting":  # 1
            raise Refused("This request is not there, approved already, or older than a day.")
        if wish.by == officer or wish.org == org:  # 2
            raise Refused("A second officer of another organisation must approve this.")
        found = _entry(hub, sitting.connection, (wish.year, wish.index))  # 3
        if wish.year != sitting.year:
            raise Refused("The entry stands in the log of another year. Ask the node that knows the person.")
        done = msgspec.structs.replace(wish, approved_by=officer, approved_org=org, approved=sitting.seconds)
        sitting.connection.execute(
            update(opening_table).where(opening_table.c.key == key).values(sealed=_sealed(hub, key, done))
        )
        more: dict[str, str | int] = {"cause": wish.reason, "index": wish.index, "year": wish.year}
        draft = EntryDraft(t="open", ts=0, req="", pv=hub.policy.number, more=more)
        sitting.append(draft, on=read_handles(found.asker))


def lines(hub: Hub, id_: str, officer: str) -> Sequence[Found]:
    """The person's entries, for the two officers, while the opening lasts. Blocks.

    Raises:
        Refused: It is not open (any more), or this is neither of the two.
    """
    key = unb64u(id_, 16)
    with hub.reading() as connection:
        wish = _read(hub, connection, key)
        now = int(hub.clock().timestamp())
        if wish is None or wish.state_at(now) != "open" or officer not in (wish.by, wish.approved_by):
            raise Refused("This is not open, or not for you.")
        found = _entry(hub, connection, (wish.year, wish.index))
        return hub.log_reader.on_handles(connection, wish.year, read_handles(found.asker))


def views(hub: Hub) -> list[WishView]:
    """Every wish of the last days, the newest first. Blocks."""
    now = int(hub.clock().timestamp())
    with hub.reading() as connection:
        keys = connection.execute(select(opening_table.c.key)).scalars().all()
        found = [(key, wish) for key in keys if (wish := _read(hub, connection, key))]
    shown = [WishView(b64u(key), wish, wish.state_at(now)) for key, wish in found]
    return sorted(shown, key=lambda view: (-view.wish.asked, view.id))


def _check_org(hub: Hub, org: str) -> None:
    if not org or hub.directory.organisation(org) is None:
        raise Refused("Your login does not name an organisation that takes part. Nothing was done.")


def _entry(hub: Hub, connection: Connection, place: tuple[int, int]) -> Found:
    """The entry that a wish is about.

    An entry on a postponed chain is left to the release: the line `open` on that chain would be hidden.
    """
    found = hub.log_reader.at(connection, *place)
    if found is None or not found.asker.handles:
        raise Refused("This entry is about nobody, or is no longer kept. Nothing was done.")
    shown = kinds_shown(unb64u(found.asker.shown))
    if hub.postponement.postpones(found.asker.role, shown):
        raise Refused("Notice of this entry is postponed. Nothing was done.")
    return found


def _sealed(hub: Hub, key: bytes, wish: Wish) -> bytes:
    return hub.rows.seal_note(_KIND, key, msgspec.json.encode(wish))


def _read(hub: Hub, connection: Connection, key: bytes) -> Wish | None:
    sealed = connection.execute(select(opening_table.c.sealed).where(opening_table.c.key == key)).scalar()
    if sealed is None:
        return None
    return msgspec.json.decode(hub.rows.open_note(_KIND, key, sealed), type=Wish)
