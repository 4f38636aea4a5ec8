"""The first schema: flags, choices and relations under search keys, and the access log.

The guards that let the log only grow are made by the tables' own module.
"""

import sqlalchemy as sa
from alembic import op

from index.accesslog import tables as log

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "choice_state",
        sa.Column("idx_dir", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=2092), nullable=False),
        sa.Column("escrow", sa.LargeBinary(length=76), nullable=False),
        sa.PrimaryKeyConstraint("idx_dir", name=op.f("pk_choice_state")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "digest",
        sa.Column("pub_tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("sum", sa.LargeBinary(length=32), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pub_tag", "bucket", name=op.f("pk_digest")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "directive",
        sa.Column("idx_dir", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=556), nullable=False),
        sa.Column("escrow", sa.LargeBinary(length=76), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("idx_dir", "number", name=op.f("pk_directive")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "entry",
        sa.Column("year", sa.SmallInteger(), nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("leaf", sa.LargeBinary(length=33), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=2048), nullable=True),
        sa.PrimaryKeyConstraint("year", "index", name=op.f("pk_entry")),
    )
    op.create_table(
        "escrow_session",
        sa.Column("sid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epk", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_escrow_session")),
    )
    op.create_table(
        "flag",
        sa.Column("pub_tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("rtag", sa.LargeBinary(length=32), nullable=False),
        sa.Column("idx", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=108), nullable=False),
        sa.Column("escrow", sa.LargeBinary(length=76), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("expires_week", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pub_tag", "rtag", name=op.f("pk_flag")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_flag_idx", "flag", ["idx"])
    op.create_table(
        "handle",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pointer", sa.LargeBinary(length=8), nullable=False),
        sa.PrimaryKeyConstraint("key", "n", name=op.f("pk_handle")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "heads",
        sa.Column("year", sa.SmallInteger(), nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("year", "index", name=op.f("pk_heads")),
    )
    op.create_table(
        "heartbeat",
        sa.Column("pub_tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pub_tag", name=op.f("pk_heartbeat")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "marker",
        sa.Column("pub_tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("rtag", sa.LargeBinary(length=32), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pub_tag", "rtag", name=op.f("pk_marker")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message",
        sa.Column("node_tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("message", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_tag", "message", name=op.f("pk_message")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "policy_version",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("activated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_policy_version")),
    )
    op.create_table(
        "relation",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("idx_rel", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=300), nullable=False),
        sa.Column("escrow", sa.LargeBinary(length=76), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_relation")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_relation_idx_rel", "relation", ["idx_rel"])
    op.create_table(
        "spent",
        sa.Column("batch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tags", sa.LargeBinary(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("batch", name=op.f("pk_spent")),
    )
    op.create_index("ix_spent_until", "spent", ["until"])
    op.create_table(
        "tile",
        sa.Column("year", sa.SmallInteger(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(length=8192), nullable=False),
        sa.PrimaryKeyConstraint("year", "level", "number", name=op.f("pk_tile")),
    )
    op.create_table(
        "tree",
        sa.Column("year", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(length=2048), nullable=False),
        sa.Column("signed_size", sa.BigInteger(), nullable=False),
        sa.Column("signed_root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("writer", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("year", name=op.f("pk_tree")),
    )
    # `op.create_table` makes tables of its own, so the guards hear nothing of it.
    for table in (log.entry, log.handle, log.tile, log.tree):
        table.dispatch.after_create(table, op.get_bind())


def downgrade() -> None:
    """There is no way back from the first schema: the log is never dropped by a program."""
    raise NotImplementedError("the first schema is not taken back")
