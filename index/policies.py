"""Which version of the policy answers: published, approved by two people, in force at the next batch.

    candidate -> parse, validate, subset, prove, vocabulary -> differences -> two people -> signed -> in force
    batch:  BEGIN, lock -> standing -> version and registers in force -> decide

No process trusts what it held a moment ago: the row `standing` is read under
the lock of each batch. A process that does not hold the version in force, or
whose version differs from what was approved, answers 503 and loads it in a
process of its own; it never answers under another. A version that was
stopped, because Cedar says otherwise than its table, answers nothing.

Source: docs/design/policy-and-consent.md, "Publishing a version".
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

import structlog
from sqlalchemy import Connection, insert, select

from index.acts import (
    Act,
    Held,
    HistoryBroken,
    Office,
    Refused,
    SignedElsewhere,
    Signer,
    Sitting,
    Standing,
    history,
    read_standing,
    signed,
)
from index.errors import PROBLEMS, PolicyAway
from index.gate import refusal_codes
from index.keystore import Keystore
from index.protocol.codec import b64u, jcs
from index.protocol.entry import EntryTooLarge, check_fits
from index.protocol.policy import version_statement
from index.registers import Registers, first_load
from index.settings import SettingsError
from index.store import tables as t
from policy.engine import PolicyVersion, PublishError, build
from policy.texts import Texts, packaged
from policy.versions import Cell, broken_promises, more_than_permits, opened
from policy.vocabulary import Vocabulary, VocabularyError, parse_vocabulary

log = structlog.get_logger()

SECOND_PERSON_S = 24 * 3600
"""Within this a second person confirms an emergency closing, else it is reverted."""
_KEPT = 3
_PAUSE_S = 5.0
_IN_FORCE = ("policy-first", "policy-activate", "policy-revert")


# --- what the history says of versions ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version as the history tells it. `state`: waiting, active, past or reverted."""

    number: int
    hash: bytes
    base: int
    cause: str
    author: str
    approvers: tuple[str, ...]
    state: str
    at: int

    @property
    def day(self) -> datetime:
        """When it was made."""
        return datetime.fromtimestamp(self.at, UTC)


def candidates(acts: Sequence[Held], standing: Standing, seconds: int) -> dict[int, Candidate]:
    """Every version by number."""
    found: dict[int, Candidate] = {}
    for _, act in acts:
        verb = act.t.removeprefix("policy-")
        if verb in ("first", "publish", "close"):
            names = tuple(person.name for person in act.by)
            state = "past" if verb == "first" else "waiting"
            found[act.about] = Candidate(
                act.about, bytes.fromhex(act.hash), act.detail.get("base", 0), act.detail.get("cause", verb),
                names[0] if names else "", names if verb == "close" else (), state, act.at,
            )  # fmt: skip
            if verb == "close":
                back = act.detail["fallback"]
                found[back] = Candidate(
                    back, bytes.fromhex(act.detail["fallback_hash"]), act.about, "reverted", "", (),
                    "waiting", act.at,
                )  # fmt: skip
        elif act.t == "policy-approve":
            held = found[act.about]
            found[act.about] = replace(held, approvers=(*held.approvers, *(p.name for p in act.by)))
        elif act.t in _IN_FORCE:
            found[act.about] = replace(found[act.about], state="past")
    for number, one in found.items():
        if one.cause == "closing" and one.state == "waiting":
            found[number] = replace(one, state="past")
    active = standing.number_at(seconds)
    if active in found:
        found[active] = replace(found[active], state="active")
    return found


# --- in each hub process -----------------------------------------------------------------


class Policies:
    """What this process may answer under; `take` is called by the writer in every transaction.

    Args:
        classes: Classes of the organisations in the directory: for these Cedar is asked.
    """

    def __init__(self, keystore: Keystore, hub: str, classes: tuple[str, ...]) -> None:
        self._keystore, self._hub, self._classes = keystore, hub, classes
        self._acts: list[Held] = []
        self._known: dict[int, Candidate] = {}
        self._held: dict[int, PolicyVersion] = {}
        self._loading: set[int] = set()
        self._not_before: dict[int, float] = {}
        self.standing = Standing()
        self.registers = Registers()
        self.needed: frozenset[str] = frozenset({"basis"})
        self.current: PolicyVersion
        self.away = False
        self.stopped = False

    def take(self, connection: Connection, now: datetime) -> None:
        """Find what is in force, inside the transaction and under its lock.

        Raises:
            PolicyAway: The version in force is not at hand here; it is being loaded. Nothing may be answered.
            HistoryBroken: The acts are not what this hub signed.
        """
        standing = read_standing(connection)
        if standing.acts != self.standing.acts:
            self._read_on(connection, standing)
        self.standing = standing
        number = standing.number_at(int(now.timestamp()))
        held = self._at_hand(number)
        if held is None:
            self.away = True
            self._load(connection, number)
            raise PolicyAway
        self.away = False
        self.current = held
        self.stopped = standing.stopped == number

    def open(self, connection: Connection, now: datetime) -> None:
        """At start: the version in force, asked of Cedar in this process, for a child that forks shares it.

        Raises:
            SettingsError: This program makes another version of the stored texts than was approved.
        """
        standing = read_standing(connection)
        self._read_on(connection, standing)
        self.standing = standing
        number = standing.number_at(int(now.timestamp()))
        digest, content = stored(connection, number)
        version = _built(content, number, tuple(sorted(self.needed)), self._classes)
        if not self._approved(version, digest):
            raise SettingsError(
                f"the policy: of the texts of version {number} this program makes other rules than were "
                "approved; publish them again with this program, and have them approved"
            )
        self._held[number] = self.current = version
        self.stopped = standing.stopped == number

    def then(self, connection: Connection, number: int) -> PolicyVersion:
        """A version as it was approved, to compare with; its table may be empty.

        Raises:
            Refused: There is no such version, or this program makes other rules of its texts.
        """
        held = self._held.get(number)
        if held is not None:
            return held
        digest, content = stored(connection, number)
        version = _built(content, number, (), self._classes)
        if version.hash != digest:
            raise Refused("This program makes other rules of the texts of then. It cannot be compared.")
        return version

    @property
    def state(self) -> str:
        """`serving`, `loading` or `stopped`."""
        return "stopped" if self.stopped else "loading" if self.away else "serving"

    @property
    def acts(self) -> Sequence[Held]:
        """The history as far as it was read."""
        return self._acts

    def _read_on(self, connection: Connection, standing: Standing) -> None:
        # An act is never unread: a restored database with fewer acts stops here.
        if standing.acts < self.standing.acts:
            raise HistoryBroken("the history of policy is shorter than it was")
        acts = history(connection, self._keystore, after=len(self._acts))
        if len(self._acts) + len(acts) < standing.acts:
            raise HistoryBroken("an act that stands is not in the history")
        self._acts += acts
        self.registers = self.registers.after(acts)
        self.needed = self.registers.profiles_in_use()
        self._known = candidates(self._acts, standing, 0)

    def _at_hand(self, number: int) -> PolicyVersion | None:
        held = self._held.get(number)
        if held is None:
            known = self._known.get(number)
            same = (v for v in list(self._held.values()) if known and v.hash == known.hash)
            held = next((replace(v, number=number) for v in same), None)
            if held is not None:
                self._held[number] = held
        return held if held is not None and self.needed <= held.filled else None

    def _approved(self, version: PolicyVersion, digest: bytes) -> bool:
        known = self._known.get(version.number)
        return known is not None and version.hash == digest == known.hash

    def _load(self, connection: Connection, number: int) -> None:
        if number in self._loading or time.monotonic() < self._not_before.get(number, 0):
            return
        self._loading.add(number)
        digest, content = stored(connection, number)
        log.warning("policy_loading", number=number)
        args = (number, digest, content, self.needed)
        threading.Thread(target=self._fetch, args=args, name="policy-loading", daemon=True).start()

    def _fetch(self, number: int, digest: bytes, content: Texts, needed: frozenset[str]) -> None:
        """In a thread that waits for a process: Cedar's batches hold the interpreter lock."""
        try:
            version = apart(_built, content, number, tuple(sorted(needed)), self._classes)
            if not self._approved(version, digest):
                raise PublishError("the rules are not those that were approved")
        except (PublishError, VocabularyError, BrokenProcessPool, OSError) as error:
            self._not_before[number] = time.monotonic() + _PAUSE_S
            log.error("policy_not_loaded", number=number, error=type(error).__name__)
        else:
            self._held[number] = version
            for old in sorted(self._held)[:-_KEPT]:
                del self._held[old]
            log.info("policy_loaded", number=number)
        finally:
            self._loading.discard(number)


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """Run a function of a module in a process of its own, which ends with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def _built(content: Texts, number: int, filled: tuple[str, ...], classes: tuple[str, ...]) -> PolicyVersion:
    return build(content, number=number, filled=filled, organisation_classes=classes)


def stored(connection: Connection, number: int) -> tuple[bytes, Texts]:
    """Hash and texts of a version.

    Raises:
        Refused: There is no such version.
    """
    c = t.policy_version.c
    row = connection.execute(select(c.hash, c.content).where(c.number == number)).first()
    if row is None:
        raise Refused(f"There is no version {number}.")
    return bytes(row.hash), Texts.decode(bytes(row.content))


def first_version(office: Office, classes: tuple[str, ...]) -> None:
    """Give a new hub its first version and registers, from its settings. One that has them is left alone."""
    with office.engine.connect() as connection, connection.begin():
        if read_standing(connection) != Standing():
            return
    settings = office.settings
    content = packaged()
    if settings.vocabulary is not None:
        content = replace(content, vocabulary=settings.vocabulary.read_text(encoding="utf-8"))
    number = settings.policy_number
    version = _built(content, number, ("basis",), classes)
    with office.sitting(recorded=False) as sitting:
        if sitting.standing != Standing():
            return  # another process was first
        _store(sitting, number, version.hash, content)
        detail = {"signature": _signature(office, number, version.hash)}
        sitting.add(
            Act(t="policy-first", at=sitting.seconds, about=number, hash=version.hash.hex(), detail=detail)
        )
        sitting.standing = sitting.standing._replace(policy=number)
        first_load(settings, sitting)


def _store(sitting: Sitting, number: int, digest: bytes, content: Texts) -> None:
    sitting.connection.execute(
        insert(t.policy_version), [{"number": number, "hash": digest, "content": content.encode()}]
    )


def _signature(office: Office, number: int, digest: bytes) -> str:
    statement = version_statement(office.settings.hub_id, number, digest)
    return b64u(office.keystore.log_signing.sign(statement).signature)


def signature_of(acts: Sequence[Held], number: int) -> str:
    """The hub's signature of a version in force, as it was published; empty where there is none."""
    return next(
        (str(act.detail["signature"]) for _, act in acts if act.t in _IN_FORCE and act.about == number), ""
    )


# --- what people do ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Differences:
    """What a candidate opens and closes against the version that was running when it was published."""

    base: int
    number: int
    opened: tuple[Cell, ...]
    closed: tuple[Cell, ...]

    def digest(self) -> str:
        """What an approver signs beside the hash: this is what was shown."""
        cells = {"opened": [list(c) for c in self.opened], "closed": [list(c) for c in self.closed]}
        return hashlib.sha256(jcs({"base": self.base, **cells})).hexdigest()


def approval(number: int, hash_: str, differences: str, at: int = 0) -> Act:
    """The act of one person's approval; `hash_` and `differences` as hex, of what was shown."""
    return Act(t="policy-approve", at=at, about=number, hash=hash_, detail={"differences": differences})


class NotProven(Refused):
    """A property does not hold. Says which, with the counterexample."""


def prove(version: PolicyVersion) -> None:
    """P1 to P12 for a candidate, for every profile.

    Raises:
        NotProven: A property does not hold; with a counterexample in Dutch.
    """
    # Imported here: the prover is large, and only who publishes needs it.
    from policy.proof import properties

    proofs = properties.prove(version.vocabulary, version.rules, version.profiles)
    broken = [proof for proof in proofs if proof.required and not proof.holds]
    if broken:
        lines = [
            f"{proof.code} ({proof.profile}): {properties.in_words(version.vocabulary, proof.counterexample)}"
            for proof in broken
            if proof.counterexample is not None
        ]
        raise NotProven("\n".join(["This candidate breaks what must always hold.", *lines]))


@dataclass(frozen=True, slots=True)
class Publishing:
    """Publishing, approving, going back and closing, each as one act of a proven person.

    Args:
        classes: As for `Policies`.
    """

    office: Office
    classes: tuple[str, ...]

    def publish(self, who: Signer, content: Texts, *, cause: str = "published") -> tuple[int, Differences]:
        """Check a candidate and let it wait for two other people.

        1. parse, strict validation, the house subset;
        2. proofs;
        3. vocabulary checks: entries fit the log, numbers keep their meaning;
        4. differences with the running version.

        Raises:
            Refused, VocabularyError, PublishError: What does not hold. Nothing is stored.
        """
        base, old, profiles = self.running()
        version = self.build(content, profiles)  # 1
        prove(version)  # 2
        self.check(old.vocabulary, version.vocabulary)  # 3
        differences = _differences(old, version)  # 4
        with self.office.sitting() as sitting:
            if sitting.standing.number_at(sitting.seconds) != base:
                raise Refused("Another version came into force meanwhile; publish again. Nothing was done.")
            number = self._next(sitting)
            _store(sitting, number, version.hash, content)
            detail = {"base": base, "cause": cause}
            act = Act(t="policy-publish", at=sitting.seconds, about=number, hash=_hex(version), detail=detail)
            sitting.add(signed(self.office.settings, who, act))
        return number, replace(differences, number=number)

    def rollback(self, who: Signer, number: int) -> tuple[int, Differences]:
        """Publish the content of an earlier version under a new number; it waits like any other."""
        with self.office.engine.connect() as connection, connection.begin():
            acts = history(connection, self.office.keystore)
            known = candidates(acts, read_standing(connection), self._now())
            if number not in known or known[number].state not in ("past",):
                raise Refused(f"Version {number} was never in force, or is now. Nothing was done.")
            content = stored(connection, number)[1]
        return self.publish(who, content, cause="rollback")

    def differences(self, number: int) -> Differences:
        """What an approver is to look at before approving."""
        _, old, profiles = self.running()
        with self.office.engine.connect() as connection, connection.begin():
            content = stored(connection, number)[1]
        return replace(_differences(old, self.build(content, profiles, number)), number=number)

    def approve(self, who: Signer | SignedElsewhere, shown: Differences) -> Candidate:
        """One person's approval; the second one puts the version in force.

        Raises:
            Refused: It does not wait, this is its author or who approved it
                already, or the differences are with a version that runs no more.
        """
        number = shown.number
        with self.office.sitting() as sitting:
            known = self._candidate(sitting, number)
            confirming = known.cause == "closing"
            if confirming:
                self._may_confirm(sitting, who, known)
            else:
                self._may_approve(sitting, who, known, shown)
            act = approval(number, known.hash.hex(), shown.digest(), at=sitting.seconds)
            sitting.add(signed(self.office.settings, who, act))
            if confirming:
                sitting.standing = sitting.standing._replace(fallback=0, until=0)
            elif len(known.approvers) == 1:
                self._activate(sitting, "policy-activate", number, known.hash)
            return self._candidate(sitting, number)

    def close(self, who: Signer, content: Texts) -> tuple[int, Differences]:
        """Put a candidate in force at once that only closes; a second person confirms it within 24 hours.

        Emergency opening does not exist: the candidate may differ from the
        running version in permits and forbids only, and must open no cell.

        Raises:
            Refused: It opens something, changes something else, or another closing waits.
        """
        base, old, profiles = self.running()
        version = self.build(content, profiles)
        prove(version)
        self.check(old.vocabulary, version.vocabulary)
        differences = _differences(old, version)
        if differences.opened or more_than_permits(old.vocabulary, version.vocabulary):
            raise Refused("This candidate does more than close. Publish it, for two people to approve.")
        if not differences.closed:
            raise Refused("This candidate closes nothing. Nothing was done.")
        with self.office.sitting() as sitting:
            standing = sitting.standing
            if standing.number_at(sitting.seconds) != base or standing.until or standing.stopped == base:
                raise Refused("Another version came into force, a closing waits, or answers are stopped.")
            number = self._next(sitting)
            back_hash, back = stored(sitting.connection, base)
            _store(sitting, number, version.hash, content)
            _store(sitting, number + 1, back_hash, back)
            until = sitting.seconds + SECOND_PERSON_S
            detail = {
                "base": base,
                "cause": "closing",
                "until": until,
                "fallback": number + 1,
                "fallback_hash": back_hash.hex(),
            }
            act = Act(t="policy-close", at=sitting.seconds, about=number, hash=_hex(version), detail=detail)
            sitting.add(signed(self.office.settings, who, act))
            self._activate(sitting, "policy-activate", number, version.hash)
            sitting.standing = sitting.standing._replace(fallback=number + 1, until=until)
        return number, replace(differences, number=number)

    def _activate(self, sitting: Sitting, t_: str, number: int, digest: bytes) -> None:
        detail = {"signature": _signature(self.office, number, digest)}
        sitting.add(Act(t=t_, at=sitting.seconds, about=number, hash=digest.hex(), detail=detail))
        sitting.standing = sitting.standing._replace(policy=number, fallback=0, until=0)

    def _candidate(self, sitting: Sitting, number: int) -> Candidate:
        known = candidates(sitting.history, sitting.standing, sitting.seconds)
        if number not in known:
            raise Refused(f"There is no version {number}. Nothing was done.")
        return known[number]

    def _may_approve(
        self, sitting: Sitting, who: Signer | SignedElsewhere, known: Candidate, shown: Differences
    ) -> None:
        if known.state != "waiting" or known.cause == "reverted":
            raise Refused(f"Version {known.number} does not wait for approval. Nothing was done.")
        if who.name == known.author:
            raise Refused(f"{who.name} is the author; two other people approve. Nothing was done.")
        if who.name in known.approvers:
            raise Refused(f"{who.name} approved it already; another person is needed. Nothing was done.")
        running = sitting.standing.number_at(sitting.seconds)
        if known.base != running or shown.base != running:
            raise Refused("Another version came into force since it was published; publish again.")

    def _may_confirm(self, sitting: Sitting, who: Signer | SignedElsewhere, known: Candidate) -> None:
        standing = sitting.standing
        if standing.policy != known.number or not standing.until or sitting.seconds >= standing.until:
            raise Refused(f"Version {known.number} does not wait for confirmation. Nothing was done.")
        if who.name in known.approvers:
            raise Refused(f"{who.name} closed it; another person confirms. Nothing was done.")

    def running(self, more: Sequence[str] = ()) -> tuple[int, PolicyVersion, frozenset[str]]:
        """Number and content of the version in force, filled for the profiles in use and `more` of them."""
        with self.office.engine.connect() as connection, connection.begin():
            standing = read_standing(connection)
            if not standing.policy:
                raise Refused("This hub has no version yet; start it once. Nothing was done.")
            number = standing.number_at(self._now())
            registers = Registers().after(history(connection, self.office.keystore))
            digest, content = stored(connection, number)
        known = {profile.code for profile in parse_vocabulary(content.vocabulary).profiles}
        profiles = registers.profiles_in_use() | (known & set(more))
        version = self.build(content, profiles, number)
        if version.hash != digest:
            log.warning("policy_made_differently", number=number)
        return number, version, profiles

    def build(self, content: Texts, profiles: frozenset[str], number: int = 0) -> PolicyVersion:
        """A version filled for these profiles. Raises `Refused` where it lacks one of them."""
        known = {profile.code for profile in parse_vocabulary(content.vocabulary).profiles}
        lost = sorted(profiles - known)
        if lost:
            raise Refused(f"Organisations use the profile {lost[0]}, which this candidate does not have.")
        return build(
            content, number=number, filled=tuple(sorted(profiles)), organisation_classes=self.classes
        )

    def check(self, old: Vocabulary, new: Vocabulary) -> None:
        """Raises `Refused` where entries would not fit the log, or a number would change its meaning."""
        try:
            check_sizes(new)
        except EntryTooLarge as error:
            raise Refused(f"{error}. Nothing was done.") from None
        broken = list(broken_promises(old, new))
        if broken:
            raise Refused("; ".join(broken) + ". Nothing was done.")

    def _next(self, sitting: Sitting) -> int:
        highest = sitting.connection.execute(
            select(t.policy_version.c.number).order_by(t.policy_version.c.number.desc()).limit(1)
        ).scalar()
        return (highest or 0) + 1

    def _now(self) -> int:
        return int(self.office.clock().timestamp())


def _hex(version: PolicyVersion) -> str:
    return version.hash.hex()


def _differences(old: PolicyVersion, new: PolicyVersion) -> Differences:
    return Differences(
        old.number, new.number, tuple(sorted(opened(old, new))), tuple(sorted(opened(new, old)))
    )


def settle(office: Office) -> bool:
    """Write down that an emergency closing nobody confirmed was reverted; it ended by its own time already.

    Returns:
        True when this call wrote it.
    """
    with office.engine.connect() as connection, connection.begin():
        standing = read_standing(connection)
    if not standing.until or office.clock().timestamp() < standing.until:
        return False
    with office.sitting() as sitting:
        standing = sitting.standing
        if not standing.until or sitting.seconds < standing.until:
            return False
        digest = stored(sitting.connection, standing.fallback)[0]
        detail = {"closed": standing.policy, "signature": _signature(office, standing.fallback, digest)}
        sitting.add(
            Act(
                t="policy-revert",
                at=sitting.seconds,
                about=standing.fallback,
                hash=digest.hex(),
                detail=detail,
            )
        )
        sitting.standing = sitting.standing._replace(policy=standing.fallback, fallback=0, until=0)
    log.error("policy_closing_reverted", closed=standing.policy, number=standing.fallback)
    return True


def stop(office: Office, number: int, differences: int) -> None:
    """Stop all answers of a version, until another is in force; stored, so a restart does not forget it."""
    with office.sitting() as sitting:
        if sitting.standing.stopped == number:
            return
        detail = {"differences": differences}
        sitting.add(Act(t="policy-stop", at=sitting.seconds, about=number, detail=detail))
        sitting.standing = sitting.standing._replace(stopped=number)


def check_sizes(vocabulary: Vocabulary) -> None:
    """Raises `EntryTooLarge` where the largest entry of a vocabulary does not fit the log."""
    from index.lookup import NO_RELATION

    check_fits(
        kind_numbers=[kind.number for kind in vocabulary.kinds],
        roles=[role.code for role in vocabulary.roles],
        purposes=[purpose.code for purpose in vocabulary.purposes],
        bases=[basis.code for basis in vocabulary.bases],
        refusals={*refusal_codes(PROBLEMS), NO_RELATION, "body"},
    )
