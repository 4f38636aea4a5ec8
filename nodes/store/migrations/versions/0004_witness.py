"""A node as a witness, and the confirmed proofs of its own questions."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROLLS_BACK = (
    "NEW.origin <> OLD.origin OR NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root)"
)


def upgrade() -> None:
    op.create_table(
        "witness_head",
        sa.Column("origin", sa.String(length=200), primary_key=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("cosigned_at", sa.Integer(), nullable=False),
    )
    for action, when in (("UPDATE", f"WHEN ({_ROLLS_BACK})"), ("DELETE", "")):
        op.execute(
            f"CREATE TRIGGER witness_head_only_grows_{action.lower()} BEFORE {action} ON witness_head {when} "
            "BEGIN SELECT RAISE(ABORT, 'a witness never goes back'); END"
        )
    op.create_table(
        "witness_refusal",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=200), nullable=False),
        sa.Column("old", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False, unique=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("ours", sa.Text(), nullable=False),
    )
    op.create_table(
        "log_proof",
        sa.Column("year", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
    )
    op.create_index("log_proof_state", "log_proof", ["state", "at"])


def downgrade() -> None:
    op.drop_table("log_proof")
    op.drop_table("witness_refusal")
    op.drop_table("witness_head")
