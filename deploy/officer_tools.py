"""What officers do from the command line, beside a running hub: erasing, a breach, exports.

Each opens the hub's keys and database as `hub policy` does, and is an entry of
the access log before anything is printed or written.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from index.acts import Office
    from index.breach import Suspect
    from index.hub import Hub


def retention(config: Path, *, plan: bool, pause: str, resume: bool) -> tuple[dict[str, Any], str]:
    """Erase what is past its term, or show or pause that; data and text of the result.

    Raises:
        SettingsError, KeyFileError: Names the setting or file.
        Refused: An unknown reason, or it is paused or running already.
    """
    from index import erasing

    office = _office(config)
    if pause or resume:
        return _pause(office, pause)
    if plan:
        terms = [
            {
                "class": one.kind,
                "month": one.month,
                "lines": one.lines,
                "erasedOn": one.ends.date().isoformat() if one.ends else None,
            }
            for one in erasing.plan(office)
        ]
        hold = erasing.paused(office)
        lines = [
            f"{one['class']} {one['month']}: {one['lines']} lines, erased on {one['erasedOn'] or 'never'}"
            for one in terms
        ]
        found = {"terms": terms, "paused": hold.reason if hold else ""}
        return found, "\n".join([*lines, f"Paused: {hold.reason}." if hold else "Not paused."])
    done = erasing.run(office)
    data = {
        "paused": done.paused,
        "keysDestroyed": len(done.keys),
        "linesErased": done.lines,
        "entries": done.entries,
        "left": done.left,
    }
    if done.paused:
        return data, f"Erasing is paused ({done.paused}). {done.left} lines are past their term."
    return data, (
        f"{done.lines} lines erased, {len(done.keys)} keys destroyed. Past their term and left: {done.left}."
    )


def _pause(office: Office, reason: str) -> tuple[dict[str, Any], str]:
    from index import erasing
    from index.acts import Refused

    if not reason:
        erasing.resume(office)
        return {"paused": ""}, "Erasing goes on."
    known = next((one for one in erasing.PAUSE_REASONS if one == reason), None)
    if known is None:
        raise Refused(f"Choose one of {', '.join(erasing.PAUSE_REASONS)}. Nothing was done.")
    erasing.pause(office, known)
    return {"paused": known}, f"Erasing is paused: {known}."


def _office(config: Path) -> Office:
    from index.app import open_office
    from index.settings import HubSettings

    return open_office(HubSettings.load(config))[0]


def breach(
    config: Path, begin: datetime, end: datetime, suspect: Suspect, out: Path | None
) -> tuple[dict[str, Any], str]:
    """Who saw what of whom; the whole report and a letter and a list per node in `out`.

    Raises:
        SettingsError, KeyFileError: Names the setting or file.
        Refused: The key is nobody's, or the folder is not empty.
        LogInconsistent: The log was tampered with; nothing is reported.
    """
    import msgspec

    from index import breach as kit
    from index import exports
    from index.acts import Refused

    if out is not None and out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty. Nothing was done.")
    hub = _reading_hub(config)
    try:
        found = kit.report(hub, begin, end, suspect)
    except kit.UnknownSuspect as error:
        raise Refused(str(error)) from None
    raw = msgspec.json.format(msgspec.json.encode(found), indent=1)
    exports.record(hub.office, "breach", len(found.lines), raw)
    if out is not None:
        labels = {kind.code: kind.label for kind in hub.vocabulary.kinds}
        _write(out, "breach.json", raw)
        for part in found.nodes:
            own = [line for line in found.lines if line.node == part.node]
            _write(out, f"brief-{part.node}.txt", kit.letter(found, part, labels).encode())
            _write(out, f"regels-{part.node}.json", msgspec.json.format(msgspec.json.encode(own), indent=1))
    data = {
        "entriesRead": found.entries_read,
        "lines": len(found.lines),
        "persons": found.persons,
        "kinds": found.kinds,
        "nodes": [msgspec.to_builtins(part) for part in found.nodes],
        "unreadable": found.unreadable,
        "folder": str(out) if out else "",
    }
    told = [
        f"{len(found.lines)} lines about {found.persons} persons, of {found.entries_read} entries read.",
        *(f"{kind}: {count} persons" for kind, count in found.kinds.items()),
        *(f"{part.node}: {part.lines} lines, {part.persons} persons" for part in found.nodes),
        f"No longer kept and not in it: {found.unreadable} entries.",
    ]
    return data, "\n".join(told)


def export(
    config: Path, form: str, period: tuple[datetime, datetime], organisation: str, out: Path
) -> tuple[dict[str, Any], str]:
    """Write an export of a period; it is an entry of the log before the file is there.

    Raises:
        Refused: An unknown form, or the file is there already.
    """
    from index import exports
    from index.acts import Refused

    known = next((one for one in exports.FORMS if one == form), None)
    if known is None:
        raise Refused(f"Choose one of {', '.join(exports.FORMS)}. Nothing was done.")
    if out.exists():
        raise Refused(f"{out} is there already. Nothing was done.")
    hub = _reading_hub(config)
    with hub.reading() as connection:
        entries = (
            one
            for one in hub.log_reader.between(connection, *period)
            if not organisation or one.asker.org == organisation
        )
        raw = "".join(exports.written(known, entries, hub.vocabulary)).encode()
    count = raw.count(b"\n") - (known != "ldv")
    exports.record(hub.office, f"export-{known}", count, raw)
    _write(out.parent, out.name, raw)
    return {"rows": count, "bytes": len(raw), "file": str(out)}, f"{count} rows in {out}."


def _write(folder: Path, name: str, raw: bytes) -> None:
    """A file for its own user only."""
    import os

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(raw)


def _reading_hub(config: Path) -> Hub:
    from index.app import open_hub
    from index.settings import HubSettings

    return open_hub(HubSettings.load(config))
