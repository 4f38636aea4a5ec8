"""API keys that end, and a source that was switched off."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apikey", sa.Column("expires_at", sa.Integer()))
    op.create_table(
        "switch_off",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("asked_by", sa.String(length=32), nullable=False),
        sa.Column("asked_at", sa.Integer(), nullable=False),
        sa.Column("taken_back", sa.Integer(), nullable=False),
        sa.Column("confirmed_by", sa.String(length=32)),
        sa.Column("off_at", sa.Integer()),
        sa.CheckConstraint("id = 1", name="one_source"),
        sa.CheckConstraint("off_at IS NULL OR confirmed_by <> asked_by", name="two_people"),
    )


def downgrade() -> None:
    op.drop_table("switch_off")
    op.drop_column("apikey", "expires_at")
