"""The first schema of a key holder's counter store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nonce",
        sa.Column("node", sa.String(length=63), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=16), nullable=False),
        sa.Column("seen_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("node", "nonce"),
        sqlite_with_rowid=False,
    )
    op.create_index("nonce_seen_at", "nonce", ["seen_at"])
    op.create_table(
        "quota",
        sa.Column("node", sa.String(length=63), nullable=False),
        sa.Column("class", sa.String(length=10), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False, comment="length of the window: a day or a minute"),
        sa.Column("begins_at", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("node", "class", "seconds", "begins_at"),
        sqlite_with_rowid=False,
    )
    op.create_index("quota_begins_at", "quota", ["begins_at"])
    op.create_table(
        "grant_units",
        sa.Column("iss", sa.String(length=63), nullable=False),
        sa.Column("jti", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kid", sa.String(length=30), nullable=False),
        sa.Column("spent", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("iss", "jti", "kid"),
        sqlite_with_rowid=False,
    )
    op.create_index("grant_units_expires_at", "grant_units", ["expires_at"])
    op.create_table(
        "event",
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(length=63), nullable=False),
        sa.Column("class", sa.String(length=10), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False, comment="elements per kid, as JSON"),
        sa.PrimaryKeyConstraint("number"),
    )


def downgrade() -> None:
    for table in ("event", "grant_units", "quota", "nonce"):
        op.drop_table(table)
