"""What connectors remember: messages that came in, what they said, and where a case's flags are."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("connector", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Integer(), nullable=False),
        sa.Column("aside", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=60), nullable=False),
        sa.Column("line", sa.Integer()),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("detail", sa.String(length=300), nullable=False),
        sa.UniqueConstraint("connector", "digest"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "heard",
        sa.Column("connector", sa.String(length=40), primary_key=True),
        sa.Column("local_ref", sa.String(length=400), primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ends_on", sa.String(length=10)),
    )
    op.create_index("heard_ends_on", "heard", ["ends_on"])
    op.create_table(
        "heard_in",
        sa.Column("connector", sa.String(length=40), primary_key=True),
        sa.Column("message", sa.String(length=32), primary_key=True),
        sa.Column("local_ref", sa.String(length=400), primary_key=True),
    )
    op.create_table(
        "zaak",
        sa.Column("connector", sa.String(length=40), primary_key=True),
        sa.Column("tag", sa.String(length=32), primary_key=True),
        sa.Column("local_ref", sa.String(length=400), primary_key=True),
    )
    op.create_table(
        "first_load",
        sa.Column("connector", sa.String(length=40), primary_key=True),
        sa.Column("local_ref", sa.String(length=400), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "first_load_state",
        sa.Column("connector", sa.String(length=40), primary_key=True),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("signed_by", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    for table in ("first_load_state", "first_load", "zaak", "heard_in", "heard", "inbox"):
        op.drop_table(table)
