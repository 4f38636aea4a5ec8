"""What officers work on: postponed notices, questions, samples, openings with two, and paused erasure."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "postponed",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=812), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_postponed")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inquiry",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("open", sa.SmallInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=812), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_inquiry")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_inquiry_tag", "inquiry", ["tag"])
    op.create_table(
        "sample",
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=812), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_sample")),
    )
    op.create_table(
        "opening",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=812), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_opening")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "erasure",
        sa.Column("log_year", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("year", sa.SmallInteger(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("log_year", "index", name=op.f("pk_erasure")),
    )
    op.create_table(
        "hold",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_hold")),
    )


def downgrade() -> None:
    """Not taken back: see `index.store.migrate`."""
    raise NotImplementedError("what officers work on is not taken back")
