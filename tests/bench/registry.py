"""A stand-in for the Dutch National Referral Index (NVI), for a comparison in the same run.

It is **not** the NVI: that cannot be installed here. It does per request what the
public source of its query route does, in code of our own, and leaves out what
would only make it slower, so a ratio to it is a ratio to its structure:

* FastAPI with a plain `def` endpoint, so each request takes a thread of the pool;
* two dependencies, one of which finds the caller's number in a header (there: in
  the client certificate that a proxy passes on);
* a body and an answer as Pydantic models, `response_model` included, 201;
* an ORM session for each request, one `select` by pseudonym and optionally by
  domain on text columns, the rows turned into the answer's models;
* PostgreSQL, with the index on `pseudonym` that its migrations lost.

Left out: its exchange of the pseudonym at another service over HTTP, tracing, and
the request log. It decides nothing and records nothing durably, as the original does.

Read in November 2026: minvws/gfmodules-national-referral-index, routes, service,
repository, session and model of referrals.
"""

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import Engine, Index, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

PERSONS = 100_000
ROWS_EACH = 3
DOMAINS = ("beeldbank", "medicatie", "zorgplan")


class _Base(DeclarativeBase):
    pass


class Registration(_Base):
    """One organisation knows one pseudonym in one domain: three texts, all of them the key."""

    __tablename__ = "bench_registration"
    organisation: Mapped[str] = mapped_column(String, primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String, primary_key=True)
    domain: Mapped[str] = mapped_column(String, primary_key=True)


Index("ix_bench_registration_pseudonym", Registration.pseudonym)


class Question(BaseModel):
    pseudonym: str | None = None
    domain: str | None = None


class Entry(BaseModel):
    organisation: str
    pseudonym: str
    domain: str


def create_app(engine: Engine) -> FastAPI:
    app = FastAPI()

    def caller(x_organisation: Annotated[str, Header()] = "") -> str:
        if not x_organisation.isdecimal():
            raise HTTPException(401)
        return x_organisation

    def database() -> Engine:
        return engine

    @app.post("/registrations/query", response_model=list[Entry], status_code=201)
    def query(
        question: Question,
        engine: Annotated[Engine, Depends(database)],
        _: Annotated[str, Depends(caller)],
    ) -> list[Entry]:
        with Session(engine, expire_on_commit=False) as session:
            statement = select(Registration)
            if question.pseudonym is not None:
                statement = statement.where(Registration.pseudonym == question.pseudonym)
            if question.domain is not None:
                statement = statement.where(Registration.domain == question.domain)
            found = session.execute(statement).scalars().all()
            if not found:
                raise HTTPException(404)
            return [
                Entry(organisation=row.organisation, pseudonym=row.pseudonym, domain=row.domain)
                for row in found
            ]

    return app


def pseudonym(number: int) -> str:
    """A 64-digit text that looks like a keyed hash."""
    return random.Random(number).randbytes(32).hex()


def fill(url: str, persons: int) -> None:
    """The table with `ROWS_EACH` rows per person."""
    engine = create_engine(url)
    _Base.metadata.drop_all(engine)
    _Base.metadata.create_all(engine)
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor().copy("COPY bench_registration FROM STDIN") as copy:
            for number in range(persons):
                for place in range(ROWS_EACH):
                    copy.write_row((str(90000000 + place), pseudonym(number), DOMAINS[place]))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE bench_registration")
    engine.dispose()


class Registry:
    """Compared with by `bench_lookup`: served in a process of its own, asked over loopback."""

    name = "ratioToRegistryStandIn"

    def __init__(self, persons: int = PERSONS) -> None:
        self.persons = persons
        self.millis: dict[int, list[float]] = {}

    @contextmanager
    def of(self, folder: Path, database: str, _flags: int) -> Iterator["Registry"]:
        """Filled in `database`, a PostgreSQL address, and served until the end."""
        fill(database, self.persons)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        command = [sys.executable, "-m", "tests.bench.registry", database, str(self.port)]
        with (folder / "registry.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=Path(__file__).parents[2]
            )
            try:
                self._wait()
                self.rate(8, 0.5)
                self.millis.clear()
                yield self
            finally:
                process.terminate()
                process.wait(20)

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def rate(self, concurrency: int, seconds: float) -> float:
        """Answered questions a second of one round, each about somebody who is there."""
        done = asyncio.run(self._round(concurrency, seconds))
        self.millis.setdefault(concurrency, []).extend(done)
        return len(done) / seconds

    async def _round(self, concurrency: int, seconds: float) -> list[float]:
        until, done = time.perf_counter() + seconds, list[float]()
        await asyncio.gather(*(self._asks(until, done) for _ in range(concurrency)))
        return done

    async def _asks(self, until: float, done: list[float]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while (begun := time.perf_counter()) < until:
                wanted = pseudonym(random.randrange(self.persons))
                body = json.dumps({"pseudonym": wanted}).encode()
                writer.write(
                    b"POST /registrations/query HTTP/1.1\r\nhost: registry\r\nx-organisation: 90000001\r\n"
                    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
                )
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                answer = await reader.readexactly(length)
                if not head.startswith(b"HTTP/1.1 201") or answer.count(wanted.encode()) != ROWS_EACH:
                    raise RuntimeError("the stand-in did not give the rows that are there")
                done.append((time.perf_counter() - begun) * 1000)
        finally:
            writer.close()


def main() -> None:
    """`python -m tests.bench.registry DATABASE PORT`: the server of `Registry`."""
    import uvicorn

    app = create_app(create_engine(sys.argv[1], pool_size=40))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
