"""Declared break-glass: what waits for a second person and for the privacy officer."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "review",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("year", sa.SmallInteger(), nullable=False),
        sa.Column("open", sa.SmallInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=812), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_review")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_review_open", "review", ["open"])


def downgrade() -> None:
    """Not taken back: see `index.store.migrate`."""
    raise NotImplementedError("the reviews are not taken back")
