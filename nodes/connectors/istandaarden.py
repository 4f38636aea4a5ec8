"""iWmo and iJw messages, bare or in a GGK envelope, in the shapes 2.0 and 3.x.

    bytes -> root -> header -> per product: what was said -> `heard` -> Fact | Gone | Nothing | Refused

Only BSN, reference and dates are read; the BSN from the direct child of the one
client, for relations carry persons too. What each message and code does stands
in the mapping (`mappings/istandaarden.toml`). A message is taken whole or not
at all: one product that cannot be read refuses all of it.

Source: docs/design/ecosystem.md, "From message to publish or retract".
"""

import base64
import binascii
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Engine

from policy.vocabulary import Vocabulary

from ..bsn import BadBsn, Bsn
from ..errors import BadInput, BadItems, SettingsError, Wrong
from ..outbox import Outbox
from . import heard
from .facts import Fact, Gone, Nothing, Read
from .heard import Part, Wanted
from .markup import Element, all_of, child, day_of, leaves, line_of, name_of, parse, space_of, text_of
from .references import References
from .rows import PACKAGED, check_kinds

MessageKind = Literal["allocation", "start", "end", "return", "nothing"]
_SHAPE = re.compile(r"(\d_\d)/(?:wmo|jw)(\d{3})/schema(?:/\d_\d)?", re.ASCII)
_READ = {
    "": {"Bsn", "StatusAanlevering"},
    "Header": {"Afzender", "Ontvanger"},
    "BerichtIdentificatie": {"Identificatie", "Dagtekening"},
    "Berichtidentificatie": {"Identificatie", "Dagtekening"},
    "Product": {"Code", "Categorie"},
}
"""What is read by the element around it; that of `""` in the client. The mapping adds the rest."""
_DAYS = {"Begindatum", "Einddatum", "Ingangsdatum", "ToewijzingIngangsdatum", "ToewijzingEinddatum"}
_MOMENTS = {"Toewijzingsdatum", "ToewijzingsDatum", "Toewijzingstijd", "ToewijzingsTijd"}
_TIME = re.compile(r"\d\d:\d\d:\d\d", re.ASCII)


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the two standards: how its namespaces begin, and the kind of its flags."""

    namespace: str
    kind: str


class Elements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Local names of elements; of several the first one found counts."""

    allocation: list[str]
    start: list[str]
    end: list[str]
    number: list[str]
    decision: list[str]
    reason: list[str]
    withdrawal: list[str]
    returned: list[str]
    return_code: list[str]


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    retracts: bool = True


class Codes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mapping of `mappings/istandaarden.toml`; every comment stands there."""

    families: dict[str, Family]
    versions: list[str]
    messages: dict[str, MessageKind]
    returns: dict[str, str]
    accepted: list[str]
    withdrawn: list[str]
    statuses: dict[str, Literal["said", "taken-back", "nothing"]]
    ends: dict[str, Literal["end", "pause", "died"]]
    elements: Elements
    pause: Pause = Pause()
    open_ends: list[str] = msgspec.field(default_factory=list)
    municipalities: list[str] = msgspec.field(default_factory=list)
    most_clients: int = 1
    open_end_months: int = 24


def load_codes(path: Path | None, vocabulary: Vocabulary) -> Codes:
    """The mapping, or the one that comes with the product.

    Raises:
        SettingsError: It is missing, holds something else, or names an unknown kind.
    """
    file = path or PACKAGED / "istandaarden.toml"
    try:
        codes = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Codes)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise SettingsError(f"mapping {file} is missing or not TOML") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"mapping {file}: {error}") from None
    if returned := set(codes.returns.values()) - {
        number for number, kind in codes.messages.items() if kind in ("allocation", "start", "end")
    }:
        raise SettingsError(f"mapping {file}: returns names {sorted(returned)[0]}, which does nothing")
    if not 1 <= codes.open_end_months <= 120:
        raise SettingsError(f"mapping {file}: open_end_months is from 1 to 120")
    check_kinds(file, [family.kind for family in codes.families.values()], vocabulary)
    return codes


@dataclass(frozen=True, slots=True)
class _Head:
    """What a message is: family, number, the municipality it is about, and its own keyed identification."""

    family: str
    kind: str
    number: str
    does: MessageKind
    municipality: str
    parties: tuple[str, str]
    identification: str
    day: str


@dataclass(frozen=True, slots=True)
class _Said:
    """One thing a product says of a reference."""

    local_ref: str
    part: Literal["allocation", "start", "end"]
    said: Part | None
    line: int | None
    nothing: str = ""


class Messages:
    """Reads messages of one source and remembers what they said.

    Args:
        connector: Name of the source.
    """

    def __init__(
        self, connector: str, codes: Codes, references: References, outbox: Outbox, engine: Engine
    ) -> None:
        self._connector = connector
        self._codes = codes
        self._references = references
        self._outbox = outbox
        self._engine = engine

    def read(self, content: bytes, today: date) -> tuple[list[Read], heard.Hearing]:
        """What a message does, and what is to be remembered of it.

        Raises:
            BadInput, BadItems: It cannot be relied on; nothing of it was taken.
        """
        root = unwrapped(parse(content))
        head = self._head(root)
        if head.does == "nothing":
            return [Nothing("a message that grants and ends nothing")], self._recall([])
        if head.does == "return":
            return self._returned(root, head, today)
        client = self._client(root)
        bsn = _bsn_of(client)
        wrong: list[Wrong] = []
        said = list(self._said(client, head, wrong))
        if not said and not wrong:
            wrong.append(Wrong(head.number, "no-product", "The message names no product."))
        if wrong:
            raise BadItems(wrong)
        hearing = self._recall(one.local_ref for one in said)
        reads: list[Read] = []
        for one in said:
            reads += self._take(one, head, bsn, hearing, today)
        return reads, hearing

    def over(self, today: date) -> tuple[list[Read], heard.Hearing]:
        """References whose last day is past, for the timer."""
        refs = heard.past(self._engine, self._connector, today)
        hearing = self._recall(refs)
        hearing.ends.update(dict.fromkeys(refs))
        return [Gone(ref, "the end date is past") for ref in refs], hearing

    def dropped(self, content: bytes) -> list[str]:
        """Names of the elements with text of which nothing is read, each with the element around it.

        Raises:
            BadInput: It is no message.
        """
        names = self._codes.elements
        products = {*names.allocation, *names.start, *names.end}
        codes = {*names.number, *names.decision, *names.reason, *names.withdrawal}

        def is_read(above: str, name: str) -> bool:
            if above in products:
                return name in codes | _DAYS | _MOMENTS or name == "StatusAanlevering"
            if above == "Client":
                return name in _READ[""] | set(names.decision)
            return (
                name in _READ.get(above, set())
                or (above in _DAYS and name == "Datum")
                or name in {*names.decision, *names.returned, *names.return_code}
            )

        found = leaves(unwrapped(parse(content)))
        return [f"{above}/{name}" for above, name in found if not is_read(above, name)]

    def _recall(self, refs: Iterator[str] | list[str]) -> heard.Hearing:
        return heard.recall(self._engine, self._connector, refs)

    # --- what a message is -------------------------------------------------------------

    def _head(self, root: Element) -> _Head:
        family, number = self._family(root)
        header = child(root, "Header")
        if header is None:
            raise BadInput("Header", "missing", "The message has no Header.")
        does = self._codes.messages.get(number)
        if does is None:
            raise BadInput("message", "unknown-message", "This message number is not in the mapping.")
        sender, receiver = text_of(header, "Afzender"), text_of(header, "Ontvanger")
        identified = child(header, "Berichtidentificatie", "BerichtIdentificatie")
        identification = text_of(identified, "Identificatie")
        said = day_of(text_of(identified, "Dagtekening"))
        if not (sender and receiver and identification and said):
            rule = "Afzender, Ontvanger, Identificatie and Dagtekening (a day) are needed."
            raise BadInput("Header", "missing", rule)
        # Between a municipality and a provider: four digits are a municipality's.
        ours = [party for party in (sender, receiver) if re.fullmatch(r"[0-9]{4}", party)]
        if len(ours) != 1:
            raise BadInput("Header", "parties", "One of Afzender and Ontvanger is a municipality (4 digits).")
        if self._codes.municipalities and ours[0] not in self._codes.municipalities:
            raise BadInput("Header", "other-municipality", "This message is about another municipality.")
        first, second = sorted((sender, receiver))
        return _Head(
            family=family,
            kind=self._codes.families[family].kind,
            number=number,
            does=does,
            municipality=ours[0],
            parties=(first, second),
            identification=self._references.tag("message", family, number, first, second, identification),
            day=said.isoformat(),
        )

    def _family(self, root: Element) -> tuple[str, str]:
        space = space_of(root)
        for name, family in self._codes.families.items():
            if space.startswith(family.namespace) and name_of(root) == "Bericht":
                shape = _SHAPE.fullmatch(space.removeprefix(family.namespace))
                if shape is not None and shape[1] in self._codes.versions:
                    return name, shape[2]
                raise BadInput("Bericht", "unknown-version", "This version is not in the mapping.")
        raise BadInput("Bericht", "not-a-message", "This is no iWmo or iJw message (its namespace).")

    def _client(self, root: Element) -> Element:
        clients = list(all_of(root, "Client"))
        if not 1 <= len(clients) <= self._codes.most_clients:
            rule = f"A message has 1 to {self._codes.most_clients} Client; send them apart."
            raise BadInput("Client", "clients", rule)
        return clients[0]

    # --- what it says ------------------------------------------------------------------

    def _said(self, client: Element, head: _Head, wrong: list[Wrong]) -> Iterator[_Said]:
        names = getattr(self._codes.elements, head.does)
        products = [one for name in names for one in all_of(client, name)]
        for at, product in enumerate(products, 1):
            place = f"{name_of(product)}[{at}]"
            try:
                yield self._product(product, client, head, place)
            except BadInput as error:
                line = line_of(product)
                where = f" Line {line}." if line else ""
                wrong.append(Wrong(error.field, error.code, error.detail + where))

    def _product(self, product: Element, client: Element, head: _Head, place: str) -> _Said:
        ref, line = self._reference(product, head, place), line_of(product)
        if head.does == "allocation":
            return _Said(ref, "allocation", self._allocation(product, head, place), line)
        code = text_of(product, "StatusAanlevering") or text_of(client, "StatusAanlevering")
        status = self._codes.statuses.get(code)
        if status is None:
            raise BadInput(f"{place}/StatusAanlevering", "unknown-code", "This code is not in the mapping.")
        part: Literal["start", "end"] = "start" if head.does == "start" else "end"
        if status == "nothing":
            return _Said(ref, part, None, line, "the message changes nothing here")
        off = status == "taken-back"
        if part == "start":
            day = _day(product, place, "Begindatum")
            return _Said(ref, part, Part(head.day, head.identification, day, off=off), line)
        return self._ended(product, head, place, _Said(ref, part, None, line), off=off)

    def _allocation(self, product: Element, head: _Head, place: str) -> Part:
        since = _day(product, place, "Ingangsdatum", "ToewijzingIngangsdatum")
        until = _day(product, place, "Einddatum", "ToewijzingEinddatum", needed=False)
        if until in self._codes.open_ends:
            until = ""
        if until and until < since:
            raise BadInput(f"{place}/Einddatum", "before-since", "The end lies before the start.")
        day = day_of(text_of(product, "Toewijzingsdatum", "ToewijzingsDatum"))
        time = text_of(product, "Toewijzingstijd", "ToewijzingsTijd")
        at = day.isoformat() if day else head.day
        if _TIME.fullmatch(time):
            at += "T" + time
        code = text_of(product, *self._codes.elements.withdrawal)
        if code and code not in self._codes.withdrawn:
            raise BadInput(f"{place}/RedenIntrekking", "unknown-code", "This code is not in the mapping.")
        return Part(at, head.identification, since, until, off=bool(code))

    def _ended(self, product: Element, head: _Head, place: str, made: _Said, *, off: bool) -> _Said:
        code = text_of(product, *self._codes.elements.reason)
        means = self._codes.ends.get(code)
        if means is None:
            raise BadInput(f"{place}/RedenBeeindiging", "unknown-code", "This code is not in the mapping.")
        day = _day(product, place, "Einddatum")
        begun = day_of(text_of(product, "Begindatum"))
        if begun and day < begun.isoformat():
            raise BadInput(f"{place}/Einddatum", "before-since", "The end lies before the start.")
        if means == "pause" and not self._codes.pause.retracts:
            return _Said(made.local_ref, "end", None, made.line, "on hold: the mapping keeps the flag")
        part = Part(head.day, head.identification, day, off=off, died=means == "died" and not off)
        return _Said(made.local_ref, "end", part, made.line)

    def _reference(self, product: Element, head: _Head, place: str) -> str:
        number = text_of(product, *self._codes.elements.number)
        if number:
            return self._references.of(head.family, head.municipality, number)
        decision = text_of(product, *self._codes.elements.decision)
        above = product.getparent()
        while not decision and above is not None and name_of(above) != "Client":
            decision = text_of(above, *self._codes.elements.decision)
            above = above.getparent()
        kind = child(product, "Product")
        code = text_of(kind, "Code") or text_of(kind, "Categorie")
        if not (decision and code):
            rule = "A ToewijzingNummer, or a Beschikkingnummer and a product, is needed."
            raise BadInput(place, "no-reference", rule)
        return self._references.of(head.family, head.municipality, decision, code)

    # --- what follows ------------------------------------------------------------------

    def _take(self, one: _Said, head: _Head, bsn: str, hearing: heard.Hearing, today: date) -> list[Read]:
        if one.said is None:
            return [Nothing(one.nothing, one.line)]
        state = hearing.states[one.local_ref]
        fresh = state.hear(one.part, one.said)
        wanted = state.wanted(today, self._codes.open_end_months)
        if not fresh and wanted.since and not _same(getattr(state, one.part), one.said):
            # Its person may be the one that a later message corrected.
            return [Nothing("a later message about this was heard before", one.line)]
        hearing.spoken.append((head.identification, one.local_ref))
        hearing.ends[one.local_ref] = wanted.ends_on
        reads: list[Read] = [_read(one.local_ref, wanted, head.kind, bsn, one.line)]
        if one.said.died:
            others = self._outbox.references_of(Bsn.parse(bsn))
            reads += [Gone(ref, "the person died", one.line) for ref in others if ref != one.local_ref]
            self._bury(others, one.said, hearing)
        return reads

    def _bury(self, refs: list[str], said: Part, hearing: heard.Hearing) -> None:
        """A late message about another support of this person must not revive it."""
        for ref, state in self._recall(refs).states.items():
            kept = hearing.states.setdefault(ref, state)
            if kept.allocation or kept.start:
                kept.hear("end", Part(said.at, said.message, said.day, died=True))
                hearing.ends[ref] = None
                hearing.spoken.append((said.message, ref))

    def _returned(self, root: Element, head: _Head, today: date) -> tuple[list[Read], heard.Hearing]:
        codes = {
            (one.text or "").strip()
            for name in self._codes.elements.return_code
            for one in all_of(root, name)
        }
        if not codes - set(self._codes.accepted):
            return [Nothing("a message that accepts what was sent")], self._recall([])
        original = self._codes.returns.get(head.number)
        named = text_of(child(root, "Header"), *self._codes.elements.returned)
        if original is None or not named:
            raise BadInput("Header", "no-original", "The message does not say which message it rejects.")
        message = self._references.tag("message", head.family, original, *head.parties, named)
        refs = heard.spoken_in(self._engine, self._connector, message)
        hearing = self._recall(refs)
        clients = list(all_of(root, "Client"))
        bsn = _bsn_of(clients[0]) if len(clients) == 1 else ""
        known = self._outbox.flags(refs)
        reads: list[Read] = []
        for ref in refs:
            if not hearing.states[ref].undo(message):
                reads.append(Nothing("a later message spoke of this since"))
                continue
            wanted = hearing.states[ref].wanted(today, self._codes.open_end_months)
            hearing.ends[ref] = wanted.ends_on
            live = ref in known and known[ref].meant_live
            if wanted.since and not bsn:
                if not (live and (known[ref].since, known[ref].until) == (wanted.since[:7], wanted.until)):
                    rule = "The rejected message had changed this; send the message before it again."
                    raise BadInput("Client", "send-again", rule)
                reads.append(Nothing("what stood before stands"))
            else:
                reads.append(_read(ref, wanted, head.kind, bsn, None))
        return reads or [Nothing("what is rejected did nothing here")], hearing


def unwrapped(root: Element) -> Element:
    """The message inside a GGK envelope (StUF Di01 or Du01), or the message itself.

    Raises:
        BadInput: The envelope holds something else than the message that it names.
    """
    if "/sectormodel/ggk/" not in space_of(root):
        return root
    function = text_of(child(root, "stuurgegevens"), "functie")
    packed = text_of(child(root, "parameters"), "bericht")
    try:
        content = base64.b64decode("".join(packed.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("bericht", "base64", "The content of the envelope is not base64.") from None
    try:
        inner = parse(content)
    except BadInput as error:
        rule = f"The content of the envelope is no iWmo or iJw message. {error.detail}"
        raise BadInput("bericht", error.code, rule) from None
    shape = re.search(r"/(wmo|jw)(\d{3})/", space_of(inner))
    if shape is None or function.upper() != (shape[1] + shape[2]).upper():
        rule = "The content of the envelope is another message than functie names."
        raise BadInput("functie", "other-message", rule)
    return inner


def _same(old: Part, said: Part) -> bool:
    """Whether a message was heard before: sending it again must bring back a flag that was lost."""
    return (old.at, old.day, old.until, old.off) == (said.at, said.day, said.until, said.off)


def _read(ref: str, wanted: Wanted, kind: str, bsn: str, line: int | None) -> Read:
    if not wanted.since:
        return Gone(ref, wanted.reason, line)
    item = {"bsn": bsn, "kind": kind, "localRef": ref, "since": wanted.since[:7], "until": wanted.until}
    return Fact(item, line, wanted.reason)


def _bsn_of(client: Element) -> str:
    text = text_of(client, "Bsn")
    try:
        Bsn.parse(text)
    except BadBsn:
        raise BadInput("Client/Bsn", "elfproef", "Nine digits that pass the elfproef.") from None
    return text


def _day(product: Element, place: str, *names: str, needed: bool = True) -> str:
    """The day in one of these elements, as ISO text; some messages put it into an element of its own."""
    found = child(product, *names)
    text = "" if found is None else (text_of(found, "Datum") or (found.text or "").strip())
    if not text and not needed:
        return ""
    day = day_of(text)
    if day is None:
        raise BadInput(f"{place}/{names[0]}", "day", "A day as YYYY-MM-DD is needed.")
    return day.isoformat()
