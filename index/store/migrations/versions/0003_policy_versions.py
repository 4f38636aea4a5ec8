"""Versions of the policy with their texts, what people decided about them, and what is in force.

`policy_version` was never written before; it gets the texts. Acts and versions only grow.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_GROWING = ("policy_version", "act")


def upgrade() -> None:
    op.drop_table("policy_version")
    op.create_table(
        "policy_version",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_policy_version")),
    )
    op.create_table(
        "act",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_act")),
    )
    op.create_table(
        "standing",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("policy", sa.Integer(), nullable=False),
        sa.Column("fallback", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("stopped", sa.Integer(), nullable=False),
        sa.Column("acts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standing")),
    )
    for table in _GROWING:
        for action in ("UPDATE", "DELETE"):
            _only_grows(table, action)


def _only_grows(table: str, action: str) -> None:
    name = f"{table}_only_grows_{action.lower()}"
    head = f"CREATE TRIGGER {name} BEFORE {action} ON {table}"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"{head} BEGIN SELECT RAISE(ABORT, 'the history of policy only grows'); END")
    else:
        op.execute(
            "CREATE OR REPLACE FUNCTION policy_history_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the history of policy only grows'; END $$"
        )
        op.execute(f"{head} FOR EACH ROW EXECUTE FUNCTION policy_history_only_grows()")


def downgrade() -> None:
    """There is no way back: what people approved is never dropped by a program."""
    raise NotImplementedError("the versions of the policy are not taken back")
