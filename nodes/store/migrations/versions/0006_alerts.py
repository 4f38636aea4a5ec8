"""What the operator was told, so that a restart does not tell it again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("code", sa.String(length=40), primary_key=True),
        sa.Column("about", sa.String(length=40), primary_key=True),
        sa.Column("told_at", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("alert")
