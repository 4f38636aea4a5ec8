"""Tables of the node's store. Times are milliseconds UTC.

`flag` is the node's own memory of each local reference; `message` and `item`
are what goes to the hub, in the order of `number`; `waiting` holds what could
not be pseudonymised yet.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

flag = Table(
    "flag",
    metadata,
    Column("local_ref", String(400), primary_key=True),
    Column("origin", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("since", String(7), nullable=False),
    Column("until", String(7)),
    # Keyed digest of the BSN: tells that a corrected BSN is another person, and nothing else.
    Column("person", LargeBinary(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", String(60), nullable=False, default=""),
    Column("live_seq", Integer),
    Column("live_revision", Integer),
    Column("message_id", String(36)),
    Column("changed_at", Integer, nullable=False),
    Column("acknowledged_at", Integer),
    Index("flag_state", "state"),
    Index("flag_origin", "origin"),
)

waiting = Table(
    "waiting",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("local_ref", String(400), nullable=False, unique=True),
    Column("revision", Integer, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("since", String(7), nullable=False),
    Column("until", String(7)),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Integer, nullable=False),
)

message = Table(
    "message",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("message_id", String(36), nullable=False, unique=True),
    Column("path", String(40), nullable=False),
    Column("body", LargeBinary, nullable=False),
    # Log ids of the items, sealed: with them the handles of the receipt are recomputed.
    Column("lids", LargeBinary),
    Column("created_at", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Integer, nullable=False, default=0),
    Column("problem", String(60), nullable=False, default=""),
    sqlite_autoincrement=True,
)

item = Table(
    "item",
    metadata,
    Column("message", Integer, ForeignKey("message.number", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("local_ref", String(400), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("action", String(8), nullable=False),
    Index("item_local_ref", "local_ref"),
)

receipt = Table(
    "receipt",
    metadata,
    Column("message_id", String(36), primary_key=True),
    Column("jws", Text, nullable=False),
    Column("at", Integer, nullable=False),
)

rejected = Table(
    "rejected",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("origin", String(40), nullable=False),
    Column("local_ref", String(400), nullable=False),
    Column("line", Integer),
    Column("field", String(60), nullable=False),
    Column("code", String(60), nullable=False),
    Column("detail", String(300), nullable=False),
    Column("at", Integer, nullable=False),
    sqlite_autoincrement=True,
)

cursor = Table(
    "cursor",
    metadata,
    Column("connector", String(40), primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("position", String(100), nullable=False),
    Column("at", Integer, nullable=False),
)

counter = Table(
    "counter",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("value", Integer, nullable=False),
)

apikey = Table(
    "apikey",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("kinds", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("revoked_at", Integer),
    Column("expires_at", Integer),
)

switch_off = Table(
    "switch_off",
    metadata,
    # One row while somebody asked to switch the source off, or it is off; none while it is on.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("asked_by", String(32), nullable=False),
    Column("asked_at", Integer, nullable=False),
    Column("taken_back", Integer, nullable=False),
    Column("confirmed_by", String(32)),
    Column("off_at", Integer),
    CheckConstraint("id = 1", name="one_source"),
    CheckConstraint("off_at IS NULL OR confirmed_by <> asked_by", name="two_people"),
)

crisis = Table(
    "crisis",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("employee", String(32), nullable=False),
    Column("role", String(40), nullable=False),
    Column("team", String(48), nullable=False),
    Column("reason", String(40), nullable=False),
    # The declarer's name, for a colleague's page only.
    Column("sealed", LargeBinary, nullable=False),
    Column("declared_at", Integer, nullable=False),
    Column("confirm_by", Integer, nullable=False),
    Column("word", String(12), nullable=False, default=""),
    Index("crisis_confirm_by", "confirm_by"),
)

visit = Table(
    "visit",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("employee", String(32), nullable=False),
    Column("role", String(40), nullable=False),
    Column("team", String(48), nullable=False),
    Column("purpose", String(40), nullable=False),
    Column("persons", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("opened_at", Integer, nullable=False),
    Column("until", Integer, nullable=False),
    Index("visit_employee", "employee"),
)

followed = Table(
    "followed",
    metadata,
    Column("visit", String(22), ForeignKey("visit.id", ondelete="CASCADE"), primary_key=True),
    # How the hub names the visit in a signal.
    Column("tag", String(22), nullable=False, unique=True),
    # "": nothing new; else new, seen, taken or closed.
    Column("state", String(8), nullable=False),
    Column("at", Integer, nullable=False),
    # What comes first once the visit was looked at; sealed, for it follows from what was seen.
    Column("sealed", LargeBinary, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    Column("event", String(22), primary_key=True),
    Column("webhook", String(40), primary_key=True),
    Column("visit", String(22), ForeignKey("visit.id", ondelete="CASCADE"), nullable=False),
    Column("at", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Integer, nullable=False),
    Index("delivery_next_at", "next_at"),
)

contact_sent = Table(
    "contact_sent",
    metadata,
    Column("visit", String(22), ForeignKey("visit.id", ondelete="CASCADE"), primary_key=True),
    # Keyed digest of person, kind and source: what was seen is not kept.
    Column("tag", LargeBinary(16), primary_key=True),
    Column("at", Integer, nullable=False),
)

contact = Table(
    "contact",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("local_ref", String(400), nullable=False),
    Column("team", String(48), nullable=False),
    Column("role", String(40), nullable=False),
    Column("at", Integer, nullable=False),
    Column("done_at", Integer),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("connector", String(40), nullable=False),
    # Keyed: the same message again is the same row, and the digest of a message tells nobody what it said.
    Column("digest", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("received_at", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Integer, nullable=False, default=0),
    # 1: it cannot be worked off until somebody repaired something.
    Column("aside", Integer, nullable=False, default=0),
    Column("field", String(60), nullable=False, default=""),
    Column("line", Integer),
    Column("code", String(60), nullable=False, default=""),
    Column("detail", String(300), nullable=False, default=""),
    UniqueConstraint("connector", "digest"),
    sqlite_autoincrement=True,
)

alert = Table(
    "alert",
    metadata,
    # What the operator was told and still lasts: a restart must not tell it again.
    Column("code", String(40), primary_key=True),
    Column("about", String(40), primary_key=True),
    Column("told_at", Integer, nullable=False),
)

heard = Table(
    "heard",
    metadata,
    Column("connector", String(40), primary_key=True),
    Column("local_ref", String(400), primary_key=True),
    # What messages said of this reference, as JSON: dates and codes, no person.
    Column("state", Text, nullable=False),
    Column("ends_on", String(10)),
    Index("heard_ends_on", "ends_on"),
)

heard_in = Table(
    "heard_in",
    metadata,
    Column("connector", String(40), primary_key=True),
    Column("message", String(32), primary_key=True),
    Column("local_ref", String(400), primary_key=True),
)

zaak = Table(
    "zaak",
    metadata,
    Column("connector", String(40), primary_key=True),
    # Keyed digest of the address of the case: a destroyed case cannot be fetched any more.
    Column("tag", String(32), primary_key=True),
    Column("local_ref", String(400), primary_key=True),
)

first_load = Table(
    "first_load",
    metadata,
    Column("connector", String(40), primary_key=True),
    Column("local_ref", String(400), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

first_load_state = Table(
    "first_load_state",
    metadata,
    Column("connector", String(40), primary_key=True),
    Column("rejected", Integer, nullable=False),
    Column("signed_by", String(100), nullable=False),
    # Of exactly what the first person signed for.
    Column("digest", LargeBinary, nullable=False),
    Column("at", Integer, nullable=False),
)

witness_head = Table(
    "witness_head",
    metadata,
    # The last checkpoint cosigned in each log. A trigger refuses a smaller one, and another root of one size.
    Column("origin", String(200), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("cosigned_at", Integer, nullable=False),
)

witness_refusal = Table(
    "witness_refusal",
    metadata,
    # Signed by the log and refused: with `ours`, what was cosigned before, proof of two histories.
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Integer, nullable=False),
    Column("origin", String(200), nullable=False),
    Column("old", Integer, nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("note", Text, nullable=False),
    Column("ours", Text, nullable=False),
)

log_proof = Table(
    "log_proof",
    metadata,
    # Lines of the access log that this node's own questions left: `asked` with the checkpoint of the
    # answer, `confirmed` with a cosigned proof, `missing` where confirmed history does not have them.
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("at", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("note", Text, nullable=False),
    Column("proof", Text, nullable=False),
    Index("log_proof_state", "state", "at"),
)
