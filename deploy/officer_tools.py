"""What officers do from the command line, beside a running hub: erasing, a breach, exports.

Each opens the hub's keys and database as `hub policy` does, and is an entry of
the access log before anything is printed or written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from index.acts import Office


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
