"""Declared break-glass, until a colleague has confirmed it or the time for that is over."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "crisis",
        sa.Column("id", sa.String(length=22), primary_key=True),
        sa.Column("employee", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=48), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("declared_at", sa.Integer(), nullable=False),
        sa.Column("confirm_by", sa.Integer(), nullable=False),
        sa.Column("word", sa.String(length=12), nullable=False),
    )
    op.create_index("crisis_confirm_by", "crisis", ["confirm_by"])


def downgrade() -> None:
    op.drop_table("crisis")
