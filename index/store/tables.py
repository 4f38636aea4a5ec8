"""The hub's own tables: flags, choices and relations under search keys, everything else sealed.

No kind, source, scope, precise time or name stands in clear. The access log's
tables are in `index.accesslog.tables`, on the same metadata.

Source: docs/design/design.md, "What is at rest at the hub".
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, String, Table

from .metadata import metadata

# `sqlite_with_rowid=False`: a rowid would keep rows in the order of writing, and cost 48 bytes each.

flag = Table(
    "flag",
    metadata,
    Column("pub_tag", LargeBinary(16), primary_key=True),
    Column("rtag", LargeBinary(32), primary_key=True),
    Column("idx", LargeBinary(32), nullable=False),
    Column("sealed", LargeBinary(108), nullable=False),
    Column("escrow", LargeBinary(76), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("expires_week", Integer, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_flag_idx", flag.c.idx)

marker = Table(
    "marker",
    metadata,
    Column("pub_tag", LargeBinary(16), primary_key=True),
    Column("rtag", LargeBinary(32), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

digest = Table(
    "digest",
    metadata,
    Column("pub_tag", LargeBinary(16), primary_key=True),
    Column("bucket", SmallInteger, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("sum", LargeBinary(32), nullable=False),
    Column("confirmed_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("pub_tag", LargeBinary(16), primary_key=True),
    Column("confirmed_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

directive = Table(
    "directive",
    metadata,
    Column("idx_dir", LargeBinary(32), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("sealed", LargeBinary(556), nullable=False),
    Column("escrow", LargeBinary(76), nullable=False),
    Column("prev_hash", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)

choice_state = Table(
    "choice_state",
    metadata,
    Column("idx_dir", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary(2092), nullable=False),
    Column("escrow", LargeBinary(76), nullable=False),
    sqlite_with_rowid=False,
)

relation = Table(
    "relation",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("idx_rel", LargeBinary(32), nullable=False),
    Column("sealed", LargeBinary(300), nullable=False),
    Column("escrow", LargeBinary(76), nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_relation_idx_rel", relation.c.idx_rel)

claim = Table(
    "claim",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("tag", LargeBinary(32), nullable=False),
    Column("sealed", LargeBinary(204), nullable=False),
    Column("escrow", LargeBinary(76), nullable=False),
    sqlite_with_rowid=False,
)
"""What a publisher is asked to answer about one of its flags; `tag` is its own, and no `pub_tag`."""
Index("ix_claim_tag", claim.c.tag)

review = Table(
    "review",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("year", SmallInteger, nullable=False),
    Column("open", SmallInteger, nullable=False),
    Column("sealed", LargeBinary(812), nullable=False),
    sqlite_with_rowid=False,
)
"""One row per declared break-glass, without any person: who declared it, and what came of it."""
Index("ix_review_open", review.c.open)

postponed = Table(
    "postponed",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("sealed", LargeBinary(812), nullable=False),
    sqlite_with_rowid=False,
)
"""One row per line whose notice is postponed, until its release; place, chains and term are sealed."""

inquiry = Table(
    "inquiry",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("tag", LargeBinary(16), nullable=False),
    Column("open", SmallInteger, nullable=False),
    Column("sealed", LargeBinary(812), nullable=False),
    sqlite_with_rowid=False,
)
"""What an officer asks an organisation about one entry; `tag` stands for the node that is asked."""
Index("ix_inquiry_tag", inquiry.c.tag)

watch = Table(
    "watch",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("visit", LargeBinary(16), nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("sealed", LargeBinary(812), nullable=False),
    sqlite_with_rowid=False,
)
"""One row per person and scope of a visit that wants signals; `due` is a random moment, Unix seconds."""
Index("ix_watch_visit", watch.c.visit)
Index("ix_watch_due", watch.c.due)

errand = Table(
    "errand",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("tag", LargeBinary(16), nullable=False),
    Column("sealed", LargeBinary(812), nullable=False),
    sqlite_with_rowid=False,
)
"""What waits until a node fetches it: a signal, or a contact request; `tag` stands for node and sort."""
Index("ix_errand_tag", errand.c.tag)

sample = Table(
    "sample",
    metadata,
    Column("month", String(7), primary_key=True),
    Column("sealed", LargeBinary(812), nullable=False),
)
"""The seed of each month's sample, kept from before the month began, and what was drawn."""

figure = Table(
    "figure",
    metadata,
    Column("month", String(7), primary_key=True),
    Column("figures", LargeBinary(262_144), nullable=False),
)
"""Steering figures as they were counted once and are told since: rounded, nobody in them."""

opening = Table(
    "opening",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("sealed", LargeBinary(812), nullable=False),
    sqlite_with_rowid=False,
)
"""Who wants to open one person's entries, why, and who of another organisation approved."""

hold = Table(
    "hold",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("reason", String(40), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)
"""When erasure is paused, and why; times in Unix seconds, `until` 0 while it lasts."""

escrow_session = Table(
    "escrow_session",
    metadata,
    Column("sid", BigInteger, primary_key=True, autoincrement=False),
    Column("epk", LargeBinary(32), nullable=False),
)

message = Table(
    "message",
    metadata,
    Column("node_tag", LargeBinary(16), primary_key=True),
    Column("message", String(64), primary_key=True),
    Column("body", LargeBinary(32), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

scope_key = Table(
    "scope_key",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("scope", String(16), primary_key=True),
    Column("a0", LargeBinary(32), nullable=False),
)
"""Which key each scope had under each manifest version served here: points of an outbox may be older."""

policy_version = Table(
    "policy_version",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("content", LargeBinary, nullable=False),
)
"""The texts of each version, waiting or approved; what holds is in `act`. A row is never changed."""

act = Table(
    "act",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
)
"""What people decided about policy, convenants, mandates and profiles (`index.acts`); it only grows."""

standing = Table(
    "standing",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("policy", Integer, nullable=False),
    Column("fallback", Integer, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("stopped", Integer, nullable=False),
    Column("acts", Integer, nullable=False),
)
"""One row, read in the transaction of each batch: which version and which acts are in force now."""
