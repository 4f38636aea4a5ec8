"""What publishers are asked to answer: disputes, objections and restrictions about their flags."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claim",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=204), nullable=False),
        sa.Column("escrow", sa.LargeBinary(length=76), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_claim")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_claim_tag", "claim", ["tag"])


def downgrade() -> None:
    """Not taken back: see `index.store.migrate`."""
    raise NotImplementedError("the claims are not taken back")
