"""What the hub keeps: tables, the engine, batched reads and writes, migrations.

Statements are built with SQLAlchemy Core from one `MetaData`, compiled once
per engine and handed to the driver; the same statements run on SQLite and on
PostgreSQL. Start with `tables`.
"""
