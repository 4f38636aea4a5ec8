"""Followed visits and what waits for a webhook; contact requests, sent and received."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "followed",
        sa.Column("visit", sa.String(22), sa.ForeignKey("visit.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", sa.String(22), nullable=False, unique=True),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "delivery",
        sa.Column("event", sa.String(22), primary_key=True),
        sa.Column("webhook", sa.String(40), primary_key=True),
        sa.Column("visit", sa.String(22), sa.ForeignKey("visit.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Integer(), nullable=False),
    )
    op.create_index("delivery_next_at", "delivery", ["next_at"])
    op.create_table(
        "contact_sent",
        sa.Column("visit", sa.String(22), sa.ForeignKey("visit.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", sa.LargeBinary(16), primary_key=True),
        sa.Column("at", sa.Integer(), nullable=False),
    )
    op.create_table(
        "contact",
        sa.Column("id", sa.String(22), primary_key=True),
        sa.Column("local_ref", sa.String(400), nullable=False),
        sa.Column("team", sa.String(48), nullable=False),
        sa.Column("role", sa.String(40), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("done_at", sa.Integer()),
    )


def downgrade() -> None:
    for name in ("contact", "contact_sent", "delivery", "followed"):
        op.drop_table(name)
