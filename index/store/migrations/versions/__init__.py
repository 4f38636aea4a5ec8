"""Alembic migrations, one file per schema change. Numbers are never used twice."""
