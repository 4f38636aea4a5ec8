"""Which key each scope had under each manifest version, so that waiting points of an equal key stay good."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scope_key",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("a0", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("version", "scope", name=op.f("pk_scope_key")),
    )


def downgrade() -> None:
    """Not taken back: see `index.store.migrate`."""
    raise NotImplementedError("the second schema is not taken back")
