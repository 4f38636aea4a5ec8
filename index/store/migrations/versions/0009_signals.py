"""What visits want signals about, and what waits for a node: signals and contact requests."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watch",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("visit", sa.LargeBinary(length=16), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=812), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_watch")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_watch_visit", "watch", ["visit"])
    op.create_index("ix_watch_due", "watch", ["due"])
    op.create_table(
        "errand",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=812), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_errand")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_errand_tag", "errand", ["tag"])


def downgrade() -> None:
    """Not taken back: see `index.store.migrate`."""
    raise NotImplementedError("what nodes are told is not taken back")
