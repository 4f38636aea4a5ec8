"""Convenants with partners, mandates and the profile of each organisation, as acts of people.

    convenant-add -> (a second person) convenant-approve -> in force from begin until end -> convenant-end

What opens something needs two people; what closes holds with one. Days are of
Europe/Amsterdam: a convenant holds from 00:00 of its first day and ends at
00:00 of its last, so what needs it is hidden that day. Whether one is in force
is asked with the clock of each batch, from acts that were read under its lock.

Source: docs/design/policy-and-consent.md, "Profiles" and "Mandate".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from index.acts import Act, Held, Refused, Signer, Sitting, signed
from index.organisations import Changes
from index.protocol.directory import Directory, OrganisationEntry
from index.protocol.policy import (
    FOREVER,
    ConvenantInForce,
    FormerTeam,
    MandateInForce,
    OrganisationRules,
)
from index.settings import HubSettings
from policy.decide import Asker
from policy.engine import PolicyVersion
from policy.versions import opened
from policy.vocabulary import UnknownCode, Vocabulary

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
BASIS = "basis"
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Entry:
    """A convenant or mandate. Times are Unix seconds; 0 where it did not happen.

    `closed_at`: when somebody ended it at once. That counts in the order of acts
    and not by a clock: two machines' clocks differ, and it must hold at once.
    """

    id: int
    what: str
    organisation: str
    begin: int
    end: int
    added_at: int
    approved_at: int
    closed_at: int
    by: tuple[str, ...]
    detail: Mapping[str, Any]

    def in_force(self, seconds: int, *, past: bool = False) -> bool:
        """Whether it holds now, which is `seconds`; or held then, with `past`."""
        if self.closed_at and not (past and seconds < self.closed_at):
            return False
        return bool(self.approved_at) and max(self.begin, self.approved_at) <= seconds < self.end

    def may_hold(self, seconds: int) -> bool:
        """Whether it holds now, or can come to hold without another act than an approval."""
        return not self.closed_at and seconds < self.end

    def covers(self, other: "Entry") -> bool:
        """Whether it gives at least what `other` gives, and at least as long."""
        if self.what != other.what or self.closed_at or not self.approved_at:
            return False
        if not (self.begin <= other.begin and other.end <= self.end):
            return False
        if self.what == "mandate":
            return bool(self.detail["act"] == other.detail["act"])
        return all(set(other.detail[name]) <= set(self.detail[name]) for name in ("kinds", "purposes"))


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile of an organisation from an instant on; `since` is 0 as long as a second person is awaited.

    `order` is the act that put it in force; of several, the last holds.
    """

    id: int
    organisation: str
    profile: str
    since: int
    order: int
    by: tuple[str, ...]

    @property
    def waiting(self) -> bool:
        return not self.since


@dataclass(frozen=True, slots=True)
class Registers:
    """All entries ever made, as far as the acts read so far tell."""

    entries: Mapping[int, Entry] = field(default_factory=dict)
    profiles: tuple[Profile, ...] = ()
    changes: Changes = field(default_factory=Changes)
    """Of who takes part (`index.organisations`)."""

    def after(self, acts: Sequence[Held]) -> "Registers":
        """These registers with more acts."""
        entries, profiles = dict(self.entries), list(self.profiles)
        for seq, act in acts:
            what, _, verb = act.t.partition("-")
            if what in ("convenant", "mandate"):
                _fold_entry(entries, seq, act, what, verb)
            elif what == "profile":
                _fold_profile(profiles, seq, act, verb)
        changes = self.changes.after(acts)
        for oin, at in changes.left().items():
            for id_, entry in entries.items():
                if entry.organisation == oin and not entry.closed_at:
                    entries[id_] = replace(entry, closed_at=at)
        return Registers(entries, tuple(profiles), changes)

    def profile_of(self, oin: str, then: int | None = None) -> str:
        """The profile of an organisation now, or at an instant; `basis` where nothing was set."""
        found = [p for p in self.profiles if p.organisation == oin and p.since]
        if then is not None:
            found = [p for p in found if p.since <= then]
        return max(found, key=lambda p: p.order).profile if found else BASIS

    def profiles_in_use(self) -> frozenset[str]:
        """`basis` and every profile that an organisation has now."""
        organisations = {p.organisation for p in self.profiles}
        return frozenset({BASIS, *(self.profile_of(oin) for oin in organisations)})

    def in_force(self, what: str, oin: str, seconds: int, *, past: bool = False) -> list[Entry]:
        """The convenants or mandates of an organisation that hold now, or held then with `past`."""
        return [
            entry
            for entry in self.entries.values()
            if entry.what == what and entry.organisation == oin and entry.in_force(seconds, past=past)
        ]

    def settled(self, oin: str, seconds: int, within: int = 120) -> bool:
        """Whether nothing of this organisation changed around an instant: clocks of two machines differ."""
        changes = [p.since for p in self.profiles if p.organisation == oin]
        for entry in self.entries.values():
            if entry.organisation == oin:
                changes += [entry.begin, entry.end, entry.approved_at, entry.closed_at]
        return all(abs(change - seconds) > within for change in changes)

    def published(self) -> list[OrganisationRules]:
        """What holds or is to hold, per organisation that has anything registered; for everybody to read."""
        known = {p.organisation for p in self.profiles} | {e.organisation for e in self.entries.values()}
        known |= {oin for oin, _ in self.changes.formers}
        return [
            OrganisationRules(
                oin,
                self.profile_of(oin),
                tuple(
                    ConvenantInForce(e.detail["kinds"], e.detail["purposes"], *_period(e))
                    for e in self._open("convenant", oin)
                ),
                tuple(
                    MandateInForce(e.detail["act"], e.detail["decision"], *_period(e))
                    for e in self._open("mandate", oin)
                ),
                tuple(
                    FormerTeam(
                        team,
                        one.organisation,
                        one.team,
                        int(one.since.timestamp()) if one.since else 0,
                    )
                    for (own, team), found in sorted(self.changes.formers.items())
                    for one in found
                    if own == oin
                ),
            )
            for oin in sorted(known)
        ]

    def _open(self, what: str, oin: str) -> list[Entry]:
        return [
            entry
            for _, entry in sorted(self.entries.items())
            if (entry.what, entry.organisation) == (what, oin) and entry.approved_at and not entry.closed_at
        ]

    def asker(
        self, organisation: OrganisationEntry, role: str, purpose: str, seconds: int, *, past: bool = False
    ) -> Asker:
        """Who asks, with what is registered for the organisation now, or was then with `past`."""
        oin = organisation.oin
        convenants = self.in_force("convenant", oin, seconds, past=past)
        named = {
            kind
            for entry in convenants
            if purpose in entry.detail["purposes"]
            for kind in entry.detail["kinds"]
        }
        mandates = self.in_force("mandate", oin, seconds, past=past)
        return Asker(
            role=role,
            organisation_class=organisation.class_,
            profile=self.profile_of(oin, seconds if past else None),
            purpose=purpose,
            convenant=frozenset(named),
            mandate=frozenset(entry.detail["act"] for entry in mandates),
        )


def _period(entry: Entry) -> tuple[int, int]:
    return max(entry.begin, entry.approved_at), min(entry.end, FOREVER)


def _fold_entry(entries: dict[int, Entry], seq: int, act: Act, what: str, verb: str) -> None:
    names = tuple(person.name for person in act.by)
    if verb in ("add", "first"):
        said = dict(act.detail)
        entries[seq] = Entry(
            seq, what, said["organisation"], said["begin"], said["end"], act.at,
            act.at if verb == "first" else 0, 0, names, said,
        )  # fmt: skip
        return
    held = entries[act.about]
    if verb == "approve":
        entries[act.about] = replace(held, approved_at=act.at, by=(*held.by, *names))
    elif act.detail["end"] <= act.at:
        entries[act.about] = replace(held, closed_at=act.at, by=(*held.by, *names))
    else:
        entries[act.about] = replace(held, end=min(held.end, act.detail["end"]), by=(*held.by, *names))


def _fold_profile(profiles: list[Profile], seq: int, act: Act, verb: str) -> None:
    names = tuple(person.name for person in act.by)
    if verb == "approve":
        at = next(at for at, one in enumerate(profiles) if one.id == act.about)
        held = profiles[at]
        profiles[at] = replace(held, since=act.at, order=seq, by=(*held.by, *names))
        return
    said = act.detail
    waiting = verb == "add" and bool(said["opens"])
    since = 0 if waiting else act.at
    profiles.append(Profile(seq, said["organisation"], said["profile"], since, seq, names))


# --- what people do --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Desk:
    """One sitting at which a person changes a register. `version` is the one in force."""

    settings: HubSettings
    directory: Directory
    version: PolicyVersion
    sitting: Sitting

    @property
    def registers(self) -> Registers:
        """As the history of this sitting tells."""
        return Registers().after(self.sitting.history)

    def add_convenant(
        self, who: Signer, *, organisation: str, kinds: Sequence[str], purposes: Sequence[str],
        begin: date, end: date,
    ) -> Held:  # fmt: skip
        """Propose a convenant; it opens something, so it holds when another person approved it.

        Raises:
            Refused: A name that is not in directory or vocabulary, or an empty period.
        """
        words = self._vocabulary
        _known("kind", kinds, words.has_kind)
        _known("purpose", purposes, lambda code: words.has_purpose(code) and code != "toezicht")
        return self._add(
            who, "convenant", organisation, (begin, end),
            {"kinds": sorted(set(kinds)), "purposes": sorted(set(purposes))},
        )  # fmt: skip

    def add_mandate(
        self, who: Signer, *, organisation: str, act: str, decision: str, begin: date, end: date
    ) -> Held:
        """Propose a mandate for one act. Raises `Refused` as `add_convenant`."""
        try:
            self._vocabulary.mandate_act(act)
        except UnknownCode:
            raise Refused(f"{act} is no act that can be mandated. Nothing was done.") from None
        if not decision.strip() or len(decision) > 60:
            raise Refused("A mandate names its decision, in at most 60 characters. Nothing was done.")
        return self._add(
            who, "mandate", organisation, (begin, end), {"act": act, "decision": decision.strip()}
        )

    def set_profile(self, who: Signer, organisation: str, profile: str) -> Held:
        """Give an organisation a profile: at once when it opens nothing, else when a second person approves.

        Raises:
            Refused: No such organisation or profile, or it has this profile already.
        """
        entry = self._organisation(organisation)
        if profile not in self.version.profiles:
            raise Refused(f"{profile} is no profile of the vocabulary. Nothing was done.")
        now = self.registers.profile_of(organisation)
        if now == profile:
            raise Refused("The organisation has this profile already. Nothing was done.")
        opens = bool(opened(self.version, self.version, profiles=(now, profile), classes=(entry.class_,)))
        detail = {"organisation": organisation, "profile": profile, "opens": opens}
        return self._take(who, Act(t="profile-add", at=self.sitting.seconds, detail=detail))

    def approve(self, what: str, who: Signer, about: int) -> Held:
        """The second person: from now on it holds.

        Raises:
            Refused: No such thing waits, or this is the person who added it.
        """
        added = self._added(what, about)
        if not self._waits(what, about):
            raise Refused(f"No {what} with number {about} waits for a second person. Nothing was done.")
        if who.name in added:
            raise Refused(f"{who.name} added it; another person approves it. Nothing was done.")
        return self._take(who, Act(t=f"{what}-approve", at=self.sitting.seconds, about=about))

    def end(self, what: str, who: Signer, about: int, on: date | None = None) -> Held:
        """End a convenant or mandate: now, or at 00:00 of a day. One person is enough.

        Raises:
            Refused: No such entry, or it ended already.
        """
        entry = self.registers.entries.get(about)
        if entry is None or entry.what != what:
            raise Refused(f"There is no {what} with number {about}. Nothing was done.")
        seconds = self.sitting.seconds
        end = max(seconds, midnight(on)) if on else seconds
        if entry.closed_at or entry.end <= seconds or end >= entry.end:
            raise Refused(f"This {what} ends no later than that already. Nothing was done.")
        return self._take(who, Act(t=f"{what}-end", at=seconds, about=about, detail={"end": end}))

    @property
    def _vocabulary(self) -> Vocabulary:
        return self.version.vocabulary

    def _organisation(self, oin: str) -> OrganisationEntry:
        found = self.directory.organisation(oin)
        if found is None:
            raise Refused("This organisation is not in the directory. Nothing was done.")
        return found

    def _add(
        self, who: Signer, what: str, oin: str, period: tuple[date, date], detail: dict[str, Any]
    ) -> Held:
        self._organisation(oin)
        begin, end = period
        if not midnight(begin) < midnight(end) or midnight(end) <= self.sitting.seconds:
            raise Refused("The end must come after the begin and after today. Nothing was done.")
        said = {"organisation": oin, "begin": midnight(begin), "end": midnight(end), **detail}
        return self._take(who, Act(t=f"{what}-add", at=self.sitting.seconds, detail=said))

    def _take(self, who: Signer, act: Act) -> Held:
        return self.sitting.add(signed(self.settings, who, act))

    def _added(self, what: str, about: int) -> list[str]:
        return [
            person.name
            for seq, act in self.sitting.history
            if seq == about and act.t == f"{what}-add"
            for person in act.by
        ]

    def _waits(self, what: str, about: int) -> bool:
        registers = self.registers
        if what == "profile":
            return any(one.id == about and one.waiting for one in registers.profiles)
        entry = registers.entries.get(about)
        return (
            entry is not None
            and entry.what == what
            and not entry.approved_at
            and not entry.closed_at
            and self.sitting.seconds < entry.end
        )


def first_load(settings: HubSettings, sitting: Sitting) -> None:
    """What the settings file says of organisations, once, into an empty history."""
    for oin, said in sorted(settings.organisations.items()):
        profile = {"organisation": oin, "profile": said.profile}
        sitting.add(Act(t="profile-first", at=sitting.seconds, detail=profile))
        for act in said.mandate_acts:
            detail = {"organisation": oin, "begin": 0, "end": _NEVER, "act": act, "decision": ""}
            sitting.add(Act(t="mandate-first", at=sitting.seconds, detail=detail))


def midnight(day: date) -> int:
    """00:00 of a day in Europe/Amsterdam, Unix seconds."""
    return int(datetime.combine(day, time(), AMSTERDAM).timestamp())


def _known(name: str, codes: Sequence[str], known: Any) -> None:
    if not codes:
        raise Refused(f"At least one {name} is needed. Nothing was done.")
    for code in codes:
        if not known(code):
            raise Refused(f"{code} is no {name} that can be named here. Nothing was done.")
