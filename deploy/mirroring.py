"""Making and reading a copy of the log on disk: what `vlagwijzer log mirror` and `log verify` do with files.

    checkpoint of the hub -> tiles that are not there yet -> checkpoint last, the earlier one kept

A copy is brought up to date by running it again. The checkpoint is written
when all its tiles are there, so that a copy that broke off still verifies as the one before.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec

from index.protocol.codec import b64u
from index.protocol.export import Line
from index.protocol.mirror import CHECKPOINT, EARLIER, ENTRIES, POLICY, TILES, NodeKeys
from index.protocol.note import NoteError, parse_checkpoint, parse_note, year_of
from index.protocol.tilereading import tile_paths

Progress = Callable[[int, int], None]


class MirrorFailed(Exception):
    """The copy could not be brought up to date; says why, and leaves what was there."""


def fetch_mirror(
    url: str, folder: Path, *, year: int | None = None, progress: Progress = lambda _done, _all: None
) -> int:
    """Copy checkpoint and tiles of a hub into a folder; the number of entries it then has.

    Raises:
        MirrorFailed: The hub cannot be reached, or gives something else.
    """
    base = f"{url.rstrip('/')}/v1/log" + (f"/{year}" if year else "")
    with httpx.Client(timeout=20, trust_env=False) as client:
        note = _get(client, f"{base}/checkpoint")
        try:
            checkpoint = parse_checkpoint(parse_note(note).text)
            of_year = year_of(checkpoint.origin)[1]
        except NoteError:
            raise MirrorFailed("the hub gives no checkpoint") from None
        paths = tile_paths(checkpoint.size)
        for done, path in enumerate(paths, 1):
            target = folder / TILES / path
            if not target.exists():
                _write(target, _get(client, f"{url.rstrip('/')}/v1/log/{of_year}/tile/{path}"))
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
    try:
        origin = parse_checkpoint(parse_note((folder / CHECKPOINT).read_bytes()).text)
        year, size = year_of(origin.origin)[1], origin.size
    except (OSError, NoteError):
        raise MirrorFailed(f"{folder / CHECKPOINT} is missing; copy the log first") from None
    engine = open_engine(settings.database_url)
    count = 0
    target = folder / ENTRIES
    fresh = target.with_name(f".{ENTRIES}.new")
    with reading(engine) as connection, fresh.open("wb") as file:
        fresh.chmod(0o600)
        for index, entry in reader.opened(connection, year, 0, size):
            line = Line(
                year, index, b64u(entry.salt), b64u(entry.salt_a), b64u(entry.salt_b),
                entry.asker.decode(), entry.chain.decode(),
            )  # fmt: skip
            file.write(msgspec.json.encode(line) + b"\n")
            count += 1
    fresh.replace(target)
    engine.dispose()
    if settings.log_policy is not None:
        _write(folder / POLICY, settings.log_policy.read_bytes())
    return count


def get_from(folder: Path) -> Callable[[str], bytes | None]:
    """Files of a copy, for `verify_mirror`."""

    def get(name: str) -> bytes | None:
        try:
            return (folder / name).read_bytes()
        except OSError:
            return None

    return get


def earlier_in(folder: Path, own: Path | None) -> dict[str, bytes]:
    """The earlier checkpoints of a copy, and the reader's own last one.

    Raises:
        MirrorFailed: The own one cannot be read.
    """
    found = {f"{EARLIER}/{path.name}": path.read_bytes() for path in sorted((folder / EARLIER).glob("*"))}
    if own is not None:
        try:
            found[own.name] = own.read_bytes()
        except OSError:
            raise MirrorFailed(f"{own} cannot be read") from None
    return found


def rows_in(folder: Path) -> Iterator[bytes]:
    """Rows of `entries.jsonl`.

    Raises:
        MirrorFailed: There is none.
    """
    try:
        file = (folder / ENTRIES).open("rb")
    except OSError:
        raise MirrorFailed(f"{folder / ENTRIES} is missing") from None
    with file:
        yield from file


def node_keys_of(directory: Path, holders: Path) -> NodeKeys:
    """Keys of nodes from a directory file that enough key holders signed.

    Args:
        holders: JSON: public Ed25519 key (base64url) by id of the key holder, as delivered out of band.

    Raises:
        MirrorFailed: A file is missing or not trusted.
    """
    from index.protocol.codec import EncodingError, unb64u
    from index.protocol.directory import NotTrusted, parse_directory

    try:
        listed = msgspec.json.decode(holders.read_bytes(), type=dict[str, str])
        pinned = {holder: unb64u(key, 32) for holder, key in listed.items()}
        found = parse_directory(directory.read_bytes(), pinned, 2)
    except (OSError, msgspec.MsgspecError, EncodingError, NotTrusted) as error:
        raise MirrorFailed(f"directory or key holders: {type(error).__name__}") from None
    keys = {node.id: [unb64u(key, 32) for key in node.ed25519] for node in found.nodes}
    return lambda node: keys.get(node, [])


def _keep_earlier(folder: Path, note: bytes) -> None:
    """The checkpoint that is replaced stays, for the next check."""
    current = folder / CHECKPOINT
    if current.exists() and (raw := current.read_bytes()) != note:
        digest = hashlib.sha256(raw).hexdigest()[:16]
        _write(folder / EARLIER / digest, raw)


def _get(client: httpx.Client, url: str) -> bytes:
    try:
        answer = client.get(url)
    except httpx.HTTPError:
        raise MirrorFailed("the hub cannot be reached") from None
    if answer.status_code != 200:
        raise MirrorFailed(f"the hub answers {answer.status_code} for a part of the log")
    return answer.content


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
