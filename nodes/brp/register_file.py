"""The BRP as a file: for a demo, and for a node that has no connection."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from nodes.bsn import Bsn
from nodes.errors import BrpUnavailable

from .person import FIELDS, QUERY, BrpPerson, NotUnderstood, read_answer

log = structlog.get_logger()


class RegisterFile:
    """Answers from a JSON file in the form of the web service's answer, read anew at each question.

    A number that is not in the file is not known, as with the web service.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def persons(self, bsns: Sequence[Bsn], fields: Sequence[str] = FIELDS) -> list[BrpPerson | None]:
        """See `Brp.persons`."""
        try:
            return await asyncio.to_thread(self._read, bsns)
        except (OSError, ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, NotUnderstood) else type(error).__name__
            log.warning("brp_unavailable", reason=reason)
        raise BrpUnavailable

    def _read(self, bsns: Sequence[Bsn]) -> list[BrpPerson | None]:
        document = json.loads(self._path.read_bytes())
        if not isinstance(document, Mapping) or not isinstance(document.get("personen"), list):
            raise NotUnderstood("personen")
        asked = {bsn.reveal() for bsn in bsns}
        about = [
            record
            for record in document["personen"]
            if isinstance(record, Mapping) and record.get("burgerservicenummer") in asked
        ]
        return read_answer({"type": QUERY, "personen": about}, bsns)
