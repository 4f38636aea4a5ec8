"""One fact to publish, checked: which person, which kind, since when, under which local reference.

Everything that comes in, through the API or a connector, passes `Rules` before
it is queued. All errors of an item are found at once; none holds the value.

Source: docs/design/node.md, "What bad input gets".
"""

import re
import unicodedata
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from index.protocol.directory import Directory
from policy.vocabulary import Kind, Vocabulary

from .bsn import BadBsn, Bsn, passes_elfproef
from .errors import Wrong

LOCAL_REF_MAX = 100
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?", re.ASCII)
_DIGIT_RUNS = re.compile(r"[0-9]{9,}")
_GROUPED = re.compile(r"(?<![0-9])[0-9](?:[ .\-]?[0-9]){8}(?![0-9])")
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_SINCE_AHEAD_MONTHS = 12
FIELDS = ("bsn", "kind", "localRef", "since", "until")


@dataclass(frozen=True, slots=True)
class Publication:
    """A checked fact. The BSN is in it until the pseudonymiser has seen it, and shows nowhere.

    A portal's has none: `person` stands in the outbox in place of a digest of it, 16 bytes.
    """

    local_ref: str = field(repr=False)
    kind: str
    scope: str
    since: str
    until: str | None
    bsn: Bsn | None = field(repr=False)
    person: bytes = field(default=b"", repr=False)


def holds_bsn(text: str) -> bool:
    """Whether nine digits in a row, or in groups with spaces, dots or dashes, pass the elfproef."""
    digits = "".join(_ascii_digit(character) for character in text)
    runs = [run.group() for run in _DIGIT_RUNS.finditer(digits)]
    windows = [run[at : at + 9] for run in runs for at in range(len(run) - 8)]
    grouped = [re.sub(r"[ .\-]", "", found.group()) for found in _GROUPED.finditer(digits)]
    return any(_passes(nine) for nine in (*windows, *grouped))


def _ascii_digit(character: str) -> str:
    # Arabic-Indic or full-width digits spell a BSN just as well.
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _passes(nine: str) -> bool:
    return nine != "000000000" and passes_elfproef(nine)


def check_local_ref(value: object, place: str = "localRef") -> list[Wrong]:
    """Rules of a local reference: it stands in URLs and receipts, so it must name no person."""
    if not isinstance(value, str) or not 1 <= len(value) <= LOCAL_REF_MAX:
        return [Wrong(place, "length", f"A local reference has 1 to {LOCAL_REF_MAX} characters.")]
    if not unicodedata.is_normalized("NFC", value):
        return [Wrong(place, "not-nfc", "A local reference is text in Unicode form NFC.")]
    if any(unicodedata.category(character) in _UNSEEN for character in value):
        return [Wrong(place, "control-character", "A local reference has no control characters.")]
    if holds_bsn(value):
        return [Wrong(place, "holds-bsn", "A local reference must not hold a burgerservicenummer.")]
    return []


def month_of(value: object) -> str | None:
    """`YYYY-MM` of a month or date text, the day dropped; None when it is neither."""
    found = _MONTH.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else f"{found[1]}-{found[2]}"


def month_after(day: date, months: int) -> str:
    """The month `months` after the month of `day`, as `YYYY-MM`."""
    total = day.year * 12 + day.month - 1 + months
    return f"{total // 12:04d}-{total % 12 + 1:02d}"


def has_ended(kind: Kind, until: str | None, today: date) -> bool:
    """Whether a flag that runs to the end of `until` is past its retention too."""
    if until is None:
        return False
    year, month = int(until[:4]), int(until[5:])
    last = date(year, month, monthrange(year, month)[1])
    return last + timedelta(days=kind.retention_days_after_end) < today


class Rules:
    """What this organisation may publish, and in which form.

    Args:
        directory: Gives the directory in use now; kinds are registered there.
        today: Clock, UTC.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        directory: Callable[[], Directory],
        oin: str,
        *,
        max_until_years: int,
        now: Callable[[], datetime],
    ) -> None:
        self._vocabulary = vocabulary
        self._directory = directory
        self._oin = oin
        self._max_until_years = max_until_years
        self._now = now

    def check(
        self,
        item: object,
        *,
        place: str = "",
        kinds: frozenset[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Publication | list[Wrong]:
        """One item, or everything that is wrong with it.

        Args:
            item: Decoded JSON or a row: a mapping with the names of `FIELDS`.
            place: Prefix of the places in errors, such as `publish[3].`.
            kinds: The kinds that the caller's key is for; None is all.
            names: What the caller calls the fields (columns of a file), for the errors.
        """
        if not isinstance(item, Mapping):
            return [Wrong(place.rstrip(".") or "$", "form", "Not an object.")]
        called = {name: place + (names or {}).get(name, name) for name in FIELDS}
        # An unknown name may itself be a number of somebody: it is counted, not repeated.
        wrong = [
            Wrong(place + "*", "unknown-field", "A field is not known.") for key in item if key not in FIELDS
        ][:1]
        wrong += check_local_ref(item.get("localRef"), called["localRef"])
        bsn = _bsn(item.get("bsn"), called["bsn"], wrong)
        kind = self._kind(item.get("kind"), called["kind"], kinds, wrong)
        since, until = self._period(item, called, kind, wrong)
        if wrong or bsn is None or kind is None or since is None:
            return wrong
        return Publication(str(item["localRef"]), kind.code, kind.domain, since, until, bsn)

    def _kind(
        self, value: object, place: str, kinds: frozenset[str] | None, wrong: list[Wrong]
    ) -> Kind | None:
        kind = next((known for known in self._vocabulary.kinds if known.code == value), None)
        if kind is None:
            wrong.append(Wrong(place, "unknown-kind", "This kind is not in the vocabulary."))
            return None
        organisation = self._directory().organisation(self._oin)
        if not kind.enabled:
            wrong.append(Wrong(place, "kind-switched-off", "This kind is switched off in the vocabulary."))
        elif kind.self_declared:
            wrong.append(
                Wrong(place, "self-declared", "Only a citizen publishes this kind, through the portal.")
            )
        elif organisation is None or organisation.kind(kind.code) is None:
            rule = "This organisation is not registered for this kind in the directory."
            wrong.append(Wrong(place, "kind-not-registered", rule))
        elif kinds is not None and kind.code not in kinds:
            wrong.append(Wrong(place, "kind-not-for-key", "This API key is not for this kind."))
        return kind

    def _period(
        self, item: Mapping[str, object], called: Mapping[str, str], kind: Kind | None, wrong: list[Wrong]
    ) -> tuple[str | None, str | None]:
        today = self._now().date()
        since, until = month_of(item.get("since")), month_of(item.get("until"))
        if since is None:
            wrong.append(Wrong(called["since"], "month", "A month as YYYY-MM, from 2000-01."))
        elif since > month_after(today, _SINCE_AHEAD_MONTHS):
            wrong.append(Wrong(called["since"], "too-far-ahead", "The start is more than a year ahead."))
        if item.get("until") is None:
            return since, None
        if until is None:
            wrong.append(Wrong(called["until"], "month", "A month as YYYY-MM, from 2000-01, or absent."))
            return since, None
        if since is not None and until < since:
            wrong.append(Wrong(called["until"], "before-since", "The end lies before the start."))
        elif until > month_after(today, 12 * self._max_until_years):
            rule = f"The end is more than {self._max_until_years} years ahead."
            wrong.append(Wrong(called["until"], "too-far-ahead", rule))
        elif kind is not None and has_ended(kind, until, today):
            wrong.append(Wrong(called["until"], "already-ended", "This flag has ended; retract it instead."))
        return since, until


def _bsn(value: object, place: str, wrong: list[Wrong]) -> Bsn | None:
    try:
        if isinstance(value, str):
            return Bsn.parse(value)
    except BadBsn:
        pass
    rule = "Nine digits that pass the elfproef, as text."
    wrong.append(Wrong(place, "elfproef", rule))
    return None
