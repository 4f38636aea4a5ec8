"""Exports of the log for officers and auditors: LDV, NEN 7513, counts; without any person.

    ldv        one JSON object a line: logboek dataverwerkingen 1.0.0
    nen7513    CSV with the fields of NEN 7513
    counts     CSV per month, organisation, role, purpose and outcome; rounded, small counts hidden

Steering figures are not made here: what has a period to choose can be
subtracted (`index.steering`).

A data subject is a label under a key that lives for one export, so two exports
cannot be joined and a label is no key of the index. Every export is an entry of
the log before it is written.

Source: docs/design/access-log.md, "Entry" (mapping); ecosystem.md §3; screens.md O8.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, get_args

import msgspec

from index.accesslog.reading import Found
from index.acts import Office
from index.breach import moment
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import SOMETHING, EntryDraft, kinds_shown
from policy.vocabulary import Vocabulary

Form = Literal["ldv", "nen7513", "counts"]
FORMS: tuple[Form, ...] = get_args(Form)
MEDIA = {
    "ldv": "application/x-ndjson",
    "nen7513": "text/csv",
    "counts": "text/csv",
}
_ROUNDED_TO = 5
_REGISTER = "urn:vlagwijzer:verwerking:"

_EVENT = {
    "lookup": "E-raadplegen",
    "log_view": "E-inzage-eigen",
    "publish": "E-vastleggen",
    "retract": "E-verwijderen",
}
_HEADER_NEN = (
    "event_datum_tijd", "event_id", "event_type", "uitkomst", "organisatie", "systeem", "gebruiker", "rol",
    "team", "doel", "autorisatie", "noodprocedure", "client", "objecten", "bron_logregel",
)  # fmt: skip


class _Ldv(msgspec.Struct):
    """A record of LDV 1.0.0; times are milliseconds since the epoch."""

    trace_id: str
    span_id: str
    status: str
    name: str
    start_time: int
    end_time: int
    resource: dict[str, str]
    attributes: dict[str, str]


def written(form: Form, entries: Iterable[Found], vocabulary: Vocabulary) -> Iterator[str]:
    """The export, in pieces of text.

    Args:
        entries: Of the wanted period and organisation, by rising place.
    """
    label = _labels()
    if form == "ldv":
        for one in entries:
            yield msgspec.json.encode(_ldv(one, label)).decode() + "\n"
    elif form == "nen7513":
        yield _row(_HEADER_NEN)
        for one in entries:
            yield _row(_nen(one, label, vocabulary))
    else:
        yield _row(("maand", "organisatie", "functie", "doel", "uitkomst", "aantal"))
        yield from _counted(Counter(map(_group, entries)), vocabulary.limits.count_threshold)


def record(office: Office, cause: str, count: int, raw: bytes) -> None:
    """What leaves the hub is in its log first: what it was, how many rows, and a digest of all of it."""
    digest = b64u(hashlib.sha256(raw).digest())
    with office.sitting() as sitting:
        more: dict[str, str | int] = {"cause": cause, "count": count, "digest": digest}
        sitting.append(EntryDraft(t="admin", ts=0, req="", more=more))


def _labels() -> Callable[[list[str]], str]:
    """One label per chain, under a key that is forgotten with the export."""
    key = secrets.token_bytes(32)

    def label(handles: list[str]) -> str:
        return hmac.digest(key, handles[0].encode(), "sha256")[:12].hex() if handles else ""

    return label


def _ldv(one: Found, label: Callable[[list[str]], str]) -> _Ldv:
    asker = one.asker
    seed = (asker.req or f"{one.year}/{one.index}").encode()
    attributes = {"dpl.core.processing_activity_id": _REGISTER + (asker.purpose or asker.t)}
    if asker.handles:
        attributes["dpl.core.data_subject_id"] = label(asker.handles)
        attributes["dpl.core.data_subject_id_type"] = "export-pseudonym"
    if asker.org:
        attributes["dpl.core.foreign_operation.processor"] = f"urn:nld:oin:{asker.org}"
    return _Ldv(
        trace_id=hashlib.sha256(b"trace" + seed).hexdigest()[:32],
        span_id=hashlib.sha256(b"span" + f"{one.year}/{one.index}".encode()).hexdigest()[:16],
        # The decision succeeded also where it was a no.
        status="Unset" if asker.refused else "Ok",
        name=asker.t,
        start_time=asker.ts,
        end_time=asker.ts,
        resource={"service.name": "vlagwijzer-hub", "service.version": "1"},
        attributes=attributes,
    )


def _nen(one: Found, label: Callable[[list[str]], str], vocabulary: Vocabulary) -> tuple[str, ...]:
    asker = one.asker
    codes = {kind.number: kind.code for kind in vocabulary.kinds}
    kinds = [codes.get(n, str(n)) for n in kinds_shown(unb64u(asker.shown)) if n != SOMETHING]
    return (
        moment(asker.ts // 1000), f"{one.year}/{one.index}", _EVENT.get(asker.t, f"E-{asker.t}"),
        _outcome(one), asker.org, asker.node, asker.actor, asker.role, asker.team, asker.purpose, asker.basis,
        "ja" if asker.bg else "nee", label(asker.handles), " ".join(kinds), asker.node,
    )  # fmt: skip


def _outcome(one: Found) -> str:
    if one.asker.refused:
        return f"geweigerd:{one.asker.refused}"
    return "iets" if any(unb64u(one.asker.shown)) else "niets" if one.asker.t == "lookup" else "gedaan"


def _group(one: Found) -> tuple[str, ...]:
    asker = one.asker
    return (
        moment(asker.ts // 1000)[:7], asker.org, asker.role, asker.purpose, _outcome(one).partition(":")[0],
    )  # fmt: skip


def _counted(counts: Counter[tuple[str, ...]], threshold: int) -> Iterator[str]:
    """Rows with their counts, rounded down; below the threshold only that it is fewer."""
    for group, count in sorted(counts.items()):
        yield _row((*group, str(count - count % _ROUNDED_TO) if count >= threshold else f"<{threshold}"))


def _row(cells: Iterable[str]) -> str:
    """One line of CSV. A cell that a spreadsheet would take for a formula is quoted by an apostrophe."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(
        [f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in cells]
    )
    return out.getvalue()
