"""What a key holder stores: counters and what must not be used twice. No person, no element."""

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

nonce = Table(
    "nonce",
    metadata,
    Column("node", String(63), primary_key=True),
    Column("nonce", LargeBinary(16), primary_key=True),
    Column("seen_at", Integer, nullable=False),
    Index("nonce_seen_at", "seen_at"),
    sqlite_with_rowid=False,
)

quota = Table(
    "quota",
    metadata,
    Column("node", String(63), primary_key=True),
    Column("class", String(10), primary_key=True, key="class_"),
    Column("seconds", Integer, primary_key=True, comment="length of the window: a day or a minute"),
    Column("begins_at", Integer, primary_key=True),
    Column("used", Integer, nullable=False),
    Index("quota_begins_at", "begins_at"),
    sqlite_with_rowid=False,
)

grant_units = Table(
    "grant_units",
    metadata,
    Column("iss", String(63), primary_key=True),
    Column("jti", LargeBinary(16), primary_key=True),
    Column("kid", String(30), primary_key=True),
    Column("spent", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Index("grant_units_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Integer, nullable=False),
    Column("node", String(63), nullable=False),
    Column("class", String(10), nullable=False, key="class_"),
    Column("version", Integer, nullable=False),
    Column("counts", Text, nullable=False, comment="elements per kid, as JSON"),
)
