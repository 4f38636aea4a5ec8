"""Making a copy of the log on disk: what `vlagwijzer log mirror` does. `verifying` reads it.

    checkpoint of the hub -> tiles that are not there yet -> checkpoint last, the earlier one kept

A copy is brought up to date by running it again. The checkpoint is written
when all its tiles are there, so that a copy that broke off still verifies as the one before.
A tile has one length; what is shorter or longer is not taken from a hub, and fetched again where
it lies in the copy. A copy is of one year's log.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import httpx
import msgspec

from deploy.verifying import MirrorFailed
from index.protocol.codec import b64u
from index.protocol.export import Line
from index.protocol.mirror import CHECKPOINT, EARLIER, ENTRIES, POLICY, TILES
from index.protocol.note import Checkpoint, NoteError, parse_checkpoint, parse_note, year_of
from index.protocol.tilereading import tile_length, tile_paths

Progress = Callable[[int, int], None]
_MOST_NOTE = 64 * 1024


def fetch_mirror(
    url: str,
    folder: Path,
    *,
    year: int | None = None,
    progress: Progress = lambda _done, _all: None,
    client: httpx.Client | None = None,
) -> int:
    """Copy checkpoint and tiles of a hub into a folder; the number of entries it then has.

    Raises:
        MirrorFailed: The hub cannot be reached, or gives something else; or the folder holds
            another log. The copy is then as it was, with some tiles more.
    """
    base = f"{url.rstrip('/')}/v1/log"
    with client or httpx.Client(timeout=20, trust_env=False, follow_redirects=False) as asking:
        note = _get(asking, f"{base}/{year}/checkpoint" if year else f"{base}/checkpoint", _MOST_NOTE)
        checkpoint = _read(note, "the hub gives no checkpoint")
        had = folder / CHECKPOINT
        if had.exists():
            ours = _read(had.read_bytes(), f"{had} is no checkpoint")
            if ours.origin != checkpoint.origin:
                raise MirrorFailed(
                    f"{folder} is a copy of {ours.origin}, the hub gives {checkpoint.origin}; "
                    "use a folder for each log and year"
                )
        of_year = year_of(checkpoint.origin)[1]
        paths = tile_paths(checkpoint.size)
        for done, path in enumerate(paths, 1):
            target = folder / TILES / path
            length = tile_length(path)
            if not (target.exists() and target.stat().st_size == length):
                raw = _get(asking, f"{base}/{of_year}/tile/{path}", length)
                if len(raw) != length:
                    raise MirrorFailed(f"the hub gives tile/{path} cut off")
                _write(target, raw)
            progress(done, len(paths))
    _keep_earlier(folder, note)
    _write(folder / CHECKPOINT, note)
    return checkpoint.size


def write_entries(config: Path, folder: Path) -> int:
    """Open every kept entry of a hub's database into `entries.jsonl`; how many there are.

    Only where the hub's keys are: by its administrator, for an officer.

    Raises:
        SettingsError, KeyFileError, LogError: Names the setting, file or entry.
    """
    from index.accesslog.reading import LogReader
    from index.keystore import load_keystore
    from index.settings import HubSettings
    from index.store.engine import open_engine, reading

    settings = HubSettings.load(config)
    reader = LogReader(settings.statement_hub, load_keystore(settings.keystore))
    missing = f"{folder / CHECKPOINT} is missing or no checkpoint; copy the log first"
    try:
        checkpoint = _read((folder / CHECKPOINT).read_bytes(), missing)
    except OSError:
        raise MirrorFailed(missing) from None
    prefix, year = year_of(checkpoint.origin)
    if prefix != settings.statement_hub:
        raise MirrorFailed(f"{folder} is a copy of {checkpoint.origin}, the settings are of another hub")
    engine = open_engine(settings.database_url)
    count = 0
    fresh = folder / f".{ENTRIES}.new"
    fresh.unlink(missing_ok=True)
    try:
        with reading(engine) as connection, _private(fresh) as file:
            for index, entry in reader.opened(connection, year, 0, checkpoint.size):
                line = Line(
                    year, index, b64u(entry.salt), b64u(entry.salt_a), b64u(entry.salt_b),
                    entry.asker.decode(), entry.chain.decode(),
                )  # fmt: skip
                file.write(msgspec.json.encode(line) + b"\n")
                count += 1
        fresh.replace(folder / ENTRIES)
    finally:
        fresh.unlink(missing_ok=True)
        engine.dispose()
    if settings.log_policy is not None:
        _write(folder / POLICY, settings.log_policy.read_bytes())
    return count


def _keep_earlier(folder: Path, note: bytes) -> None:
    """The checkpoint that is replaced stays, for the next check."""
    current = folder / CHECKPOINT
    if current.exists() and (raw := current.read_bytes()) != note:
        digest = hashlib.sha256(raw).hexdigest()[:16]
        _write(folder / EARLIER / digest, raw)


def _read(note: bytes, otherwise: str) -> Checkpoint:
    """The checkpoint of a note, not verified.

    Raises:
        MirrorFailed: `otherwise`.
    """
    try:
        found = parse_checkpoint(parse_note(note).text)
        year_of(found.origin)
    except NoteError:
        raise MirrorFailed(otherwise) from None
    return found


def _get(client: httpx.Client, url: str, most: int) -> bytes:
    """A body of at most `most` bytes."""
    raw = b""
    try:
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
            if answer.status_code != 200:
                raise MirrorFailed(f"the hub answers {answer.status_code} for a part of the log")
            for chunk in answer.iter_raw():
                raw += chunk
                if len(raw) > most:
                    raise MirrorFailed("the hub gives more than a part of the log can hold")
    except httpx.HTTPError:
        raise MirrorFailed("the hub cannot be reached, or broke off") from None
    return raw


def _private(path: Path) -> BinaryIO:
    """A new file for its own user only."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
