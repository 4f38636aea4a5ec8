"""Alembic's way in; the engine comes from `index.store.migrate`."""

from alembic import context

import index.accesslog.tables
import index.store.tables  # noqa: F401
from index.store.metadata import metadata

engine = context.config.attributes["engine"]

with engine.connect() as connection:
    if connection.dialect.name == "postgresql":
        # A migration may take as long as it needs.
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.commit()
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
