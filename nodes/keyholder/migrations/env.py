"""Alembic runs inside the connection that `nodes.keyholder.store` hands over."""

from alembic import context

from nodes.keyholder.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,
    transaction_per_migration=False,
)
context.run_migrations()
