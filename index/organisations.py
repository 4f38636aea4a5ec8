"""Who takes part, changed by people and signed by the key holders: organisations, teams, kinds, nodes.

    directory-add -> (a second person) directory-approve -> draft of the next directory
    -> t key holders sign it -> directory-adopt: it is the hub's, and every mirror's

The hub has no say in the directory: what is approved here is a draft, and only
what the key holders signed counts. What closes needs one person, and this hub
refuses it from that act on, before anything is signed. Leaving needs two,
because nothing brings back what was purged; so does a merger.

A merger moves nodes, and with them their flags. It gives nobody more: people
of the former team see what a choice names only where that choice allowed it
under the former name too (`formers`).

Source: docs/operating.md, "Who takes part"; docs/design/pseudonyms.md, "Key holders and manifest".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from consent.resolve import Former
from index.acts import Act, Held, Refused, Signer, Sitting, signed
from index.protocol.codec import EncodingError
from index.protocol.directory import (
    Directory,
    KindEntry,
    NodeEntry,
    NotTrusted,
    OrganisationEntry,
    TeamEntry,
    check_directory,
    encode,
    parse_directory,
)
from index.protocol.enrolment import fingerprint, parse_request

if TYPE_CHECKING:
    from index.registers import Registers
    from index.settings import HubSettings
    from policy.engine import PolicyVersion

Op = Literal[
    "organisation-add", "team-add", "kind-set", "node-set", "merge", "leave",
    "team-remove", "kind-remove", "node-remove",
]  # fmt: skip
CLOSES: frozenset[str] = frozenset({"team-remove", "kind-remove", "node-remove"})
"""These hold with one person; every other change waits for a second."""
WHAT = "directory"
_OPS: tuple[str, ...] = get_args(Op)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "organisation-add": ("oin", "class"), "team-add": ("oin", "team"), "team-remove": ("oin", "team"),
    "kind-set": ("oin", "kind", "displayName", "desk"), "kind-remove": ("oin", "kind"),
    "node-set": ("oin", "node"), "node-remove": ("node",), "leave": ("oin",), "merge": ("oin", "into"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the directory. Times are Unix seconds; 0 where it did not happen.

    `order`: the act that put it in force; changes are applied in that order.
    """

    id: int
    said: Mapping[str, Any]
    by: tuple[str, ...]
    at: int
    order: int = 0
    approved_at: int = 0
    withdrawn_at: int = 0
    adopted_at: int = 0
    version: int = 0
    """Of the directory in which it stands."""

    @property
    def op(self) -> str:
        return str(self.said["op"])

    @property
    def state(self) -> Literal["waiting", "approved", "adopted", "withdrawn"]:
        """`approved`: it waits for the key holders' signatures."""
        if self.withdrawn_at:
            return "withdrawn"
        if not self.approved_at:
            return "waiting"
        return "adopted" if self.version else "approved"

    @property
    def told(self) -> dict[str, Any]:
        """What it says, in the order in which people read it."""
        return {name: self.said[name] for name in _FIELDS[self.op] if name in self.said}


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes ever proposed, as far as the acts read so far tell."""

    known: Mapping[int, Change] = field(default_factory=dict)
    formers: Mapping[tuple[str, str], tuple[Former, ...]] = field(default_factory=dict)
    """By organisation and team: under which names its people were here before a merger."""
    _shut: tuple[Change, ...] = ()

    def after(self, acts: Sequence[Held]) -> Changes:
        """These changes with more acts."""
        own = [held for held in acts if held.act.t.startswith("directory-")]
        if not own:
            return self
        known = dict(self.known)
        for seq, act in own:
            _fold(known, seq, act)
        shut = [one for one in known.values() if one.approved_at and one.op in (*CLOSES, "leave")]
        return Changes(known, _formers(known.values()), tuple(shut))

    @property
    def closings(self) -> int:
        """How many things were ever closed."""
        return len(self._shut)

    def shuts(self, directory: Directory, node: NodeEntry, team: str) -> bool:
        """Whether somebody closed this node, its organisation or the team, which `directory` still lists."""
        return any(
            (one.op == "leave" and one.said["oin"] == node.oin)
            or (one.op == "node-remove" and one.said["node"] == node.id)
            or (one.op == "team-remove" and (one.said["oin"], one.said["team"]) == (node.oin, team))
            for one in self._shut
            if not one.version or one.version > directory.version
        )

    def approved(self) -> list[Change]:
        """What is to be in the next directory, in the order of approval."""
        found = [one for one in self.known.values() if one.state == "approved"]
        return sorted(found, key=lambda one: one.order)

    def nodes_of(self, leave: Change, directory: Directory) -> dict[str, int]:
        """Number by id of every node whose rows are of an organisation that leaves, also of those gone.

        A node that went over into another organisation is not among them.
        """
        oin = leave.said["oin"]
        found = dict(leave.said["nodes"])
        found |= {node.id: node.number for node in directory.nodes if node.oin == oin}
        for one in self.known.values():
            if one.op in ("node-set", "node-remove") and one.said["oin"] == oin and one.approved_at:
                found.setdefault(one.said["node"], one.said["number"])
        return {
            id_: number
            for id_, number in found.items()
            if (node := directory.node_by_number(number)) is None or node.oin == oin
        }

    def left(self) -> dict[str, int]:
        """Organisations that leave or left, by OIN, and when two people said so (Unix seconds)."""
        return {
            one.said["oin"]: one.approved_at
            for one in self.known.values()
            if one.op == "leave" and one.approved_at
        }


def _fold(known: dict[int, Change], seq: int, act: Act) -> None:
    names = tuple(person.name for person in act.by)
    verb = act.t.removeprefix("directory-")
    if verb in ("add", "close"):
        at, order = (act.at, seq) if verb == "close" else (0, 0)
        known[seq] = Change(seq, dict(act.detail), names, act.at, order=order, approved_at=at)
    elif verb == "adopt":
        for id_ in act.detail["changes"]:
            known[id_] = replace(known[id_], version=act.about, adopted_at=act.at)
    elif verb in ("approve", "withdraw"):
        held = known[act.about]
        by = (*held.by, *names)
        if verb == "approve":
            known[act.about] = replace(held, by=by, approved_at=act.at, order=seq)
        else:
            known[act.about] = replace(held, by=by, withdrawn_at=act.at)


def _formers(changes: Iterable[Change]) -> dict[tuple[str, str], tuple[Former, ...]]:
    found: dict[tuple[str, str], tuple[Former, ...]] = {}
    merges = sorted((one for one in changes if one.op == "merge" and one.order), key=lambda one: one.order)
    for one in merges:
        # Until the people speak under the new name, nothing that names it was said about them.
        since = datetime.fromtimestamp(one.adopted_at, UTC) if one.adopted_at else None
        for move in one.said["teams"]:
            old, new = (one.said["oin"], move["from"]), (one.said["into"], move["into"])
            earlier = (replace(former, since=since) for former in found.get(old, ()))
            found[new] = (*found.get(new, ()), Former(*old, since), *earlier)
    return found


# --- the next directory ----------------------------------------------------------------


def draft(directory: Directory, changes: Sequence[Change]) -> Directory:
    """The directory with these changes, one version higher and signed by nobody.

    Raises:
        Refused: A change does not fit; says which.
    """
    made = directory
    for change in changes:
        made = _APPLY[change.op](made, change.said)
    made = msgspec.structs.replace(made, version=directory.version + 1, sigs={})
    try:
        made = msgspec.json.decode(encode(made), type=Directory)
        check_directory(made)
    except msgspec.DecodeError as error:
        raise Refused(
            f"A value has a form that the directory does not allow ({error}). Nothing was done."
        ) from None
    except (NotTrusted, EncodingError) as error:
        raise Refused(f"The directory would not be right: {error}. Nothing was done.") from None
    return made


def following(directory: Directory, changes: Changes) -> Directory:
    """What the key holders are to sign.

    Raises:
        Refused: Nothing was approved since the directory in force.
    """
    approved = changes.approved()
    if not approved:
        raise Refused("Nothing was approved since the directory in force. There is nothing to sign.")
    return draft(directory, approved)


def differences(old: Directory, new: Directory) -> list[str]:
    """What differs, a line each, for people who sign or approve."""
    return [
        f"{sign} {line}"
        for sign, lines in (("-", _lines(old) - _lines(new)), ("+", _lines(new) - _lines(old)))
        for line in sorted(lines)
    ]


def _lines(directory: Directory) -> set[str]:
    lines = set()
    for one in directory.organisations:
        lines.add(f"organisation {one.oin}: class {one.class_}, number {one.number}")
        lines |= {f"team {one.oin}: {team.id}, number {team.number}" for team in one.teams}
        lines |= {f"kind {one.oin}: {kind.kind}, {kind.display_name}, {kind.desk}" for kind in one.kinds}
    for node in directory.nodes:
        lines.add(
            f"node {node.id}: number {node.number}, organisation {node.oin}, {node.url}, "
            f"classes {' '.join(node.classes)}, scopes {' '.join(node.scopes)}"
        )
        lines |= {f"key of node {node.id}: {fingerprint(key)}" for key in node.ed25519}
    return lines | {f"broker {broker.id}: {fingerprint(broker.ed25519)}" for broker in directory.brokers}


def _organisation(directory: Directory, oin: str) -> OrganisationEntry:
    found = directory.organisation(oin)
    if found is None:
        raise Refused("This organisation is not in the directory. Nothing was done.")
    return found


def _with(directory: Directory, *changed: OrganisationEntry) -> Directory:
    by_oin = {one.oin: one for one in changed}
    kept = [by_oin.pop(one.oin, one) for one in directory.organisations]
    return msgspec.structs.replace(directory, organisations=[*kept, *by_oin.values()])


def _organisation_add(directory: Directory, said: Mapping[str, Any]) -> Directory:
    if directory.organisation(said["oin"]) is not None:
        raise Refused("This organisation is in the directory already. Nothing was done.")
    return _with(directory, OrganisationEntry(said["number"], said["oin"], said["class"], [], []))


def _team_add(directory: Directory, said: Mapping[str, Any]) -> Directory:
    one = _organisation(directory, said["oin"])
    if one.team(said["team"]) is not None:
        raise Refused("This organisation has this team already. Nothing was done.")
    teams = [*one.teams, TeamEntry(said["number"], said["team"])]
    return _with(directory, msgspec.structs.replace(one, teams=teams))


def _team_remove(directory: Directory, said: Mapping[str, Any]) -> Directory:
    one = _organisation(directory, said["oin"])
    if one.team(said["team"]) is None:
        raise Refused("This organisation has no such team. Nothing was done.")
    teams = [team for team in one.teams if team.id != said["team"]]
    return _with(directory, msgspec.structs.replace(one, teams=teams))


def _kind_set(directory: Directory, said: Mapping[str, Any]) -> Directory:
    one = _organisation(directory, said["oin"])
    entry = KindEntry(said["kind"], said["displayName"], said["desk"])
    if one.kind(entry.kind) == entry:
        raise Refused("This kind is registered so already. Nothing was done.")
    kinds = [entry if kind.kind == entry.kind else kind for kind in one.kinds]
    if one.kind(entry.kind) is None:
        kinds.append(entry)
    return _with(directory, msgspec.structs.replace(one, kinds=kinds))


def _kind_remove(directory: Directory, said: Mapping[str, Any]) -> Directory:
    one = _organisation(directory, said["oin"])
    if one.kind(said["kind"]) is None:
        raise Refused("This kind is not registered for the organisation. Nothing was done.")
    kinds = [kind for kind in one.kinds if kind.kind != said["kind"]]
    return _with(directory, msgspec.structs.replace(one, kinds=kinds))


def _node_set(directory: Directory, said: Mapping[str, Any]) -> Directory:
    """A new node, or another key, address or task of one: its last key counts until the next change."""
    _organisation(directory, said["oin"])
    old = directory.node(said["node"])
    if old is not None and old.oin != said["oin"]:
        raise Refused("Another organisation has a node with this id. Nothing was done.")
    keys = [said["ed25519"], *(old.ed25519 if old else [])]
    entry = NodeEntry(
        said["node"], old.number if old else said["number"], said["oin"], said["url"],
        list(dict.fromkeys(keys))[:2], said["classes"], said["scopes"],
    )  # fmt: skip
    nodes = [entry if node.id == entry.id else node for node in directory.nodes]
    return msgspec.structs.replace(directory, nodes=nodes if old else [*nodes, entry])


def _node_remove(directory: Directory, said: Mapping[str, Any]) -> Directory:
    if directory.node(said["node"]) is None:
        raise Refused("This node is not in the directory. Nothing was done.")
    nodes = [node for node in directory.nodes if node.id != said["node"]]
    return msgspec.structs.replace(directory, nodes=nodes)


def _leave(directory: Directory, said: Mapping[str, Any]) -> Directory:
    _organisation(directory, said["oin"])
    return msgspec.structs.replace(
        directory,
        organisations=[one for one in directory.organisations if one.oin != said["oin"]],
        nodes=[node for node in directory.nodes if node.oin != said["oin"]],
    )


def _merge(directory: Directory, said: Mapping[str, Any]) -> Directory:
    """Nodes and kinds go over. The former organisation stays listed, empty: old log lines name it."""
    old, new = _organisation(directory, said["oin"]), _organisation(directory, said["into"])
    moves = {move["from"]: move for move in said["teams"]}
    if set(moves) != {team.id for team in old.teams}:
        raise Refused("Say for each team of the former organisation which team it becomes. Nothing was done.")
    teams = list(new.teams)
    for move in moves.values():
        if all(team.id != move["into"] for team in teams):
            teams.append(TeamEntry(move["number"], move["into"]))
    kinds = [*new.kinds, *(kind for kind in old.kinds if new.kind(kind.kind) is None)]
    nodes = [
        msgspec.structs.replace(node, oin=new.oin) if node.oin == old.oin else node
        for node in directory.nodes
    ]
    return msgspec.structs.replace(
        _with(
            directory,
            msgspec.structs.replace(old, kinds=[], teams=[]),
            msgspec.structs.replace(new, kinds=kinds, teams=teams),
        ),
        nodes=nodes,
    )


_APPLY: Mapping[str, Callable[[Directory, Mapping[str, Any]], Directory]] = {
    "organisation-add": _organisation_add, "team-add": _team_add, "team-remove": _team_remove,
    "kind-set": _kind_set, "kind-remove": _kind_remove, "node-set": _node_set, "node-remove": _node_remove,
    "leave": _leave, "merge": _merge,
}  # fmt: skip


# --- what people do --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Roster:
    """One sitting at which a person changes who takes part. `registers` are those of this sitting."""

    settings: HubSettings
    directory: Directory
    version: PolicyVersion
    sitting: Sitting

    @property
    def changes(self) -> Changes:
        """As the history of this sitting tells."""
        return Changes().after(self.sitting.history)

    def add_organisation(self, who: Signer, oin: str, class_: str) -> Held:
        """Propose an organisation. It may do nothing yet.

        Raises:
            Refused: It is there, left before, or has a class that the vocabulary does not know.
        """
        classes = {one.code for one in self.version.vocabulary.organisation_classes}
        if class_ not in classes:
            raise Refused(
                f"{class_} is no class of organisation: {', '.join(sorted(classes))}. Nothing was done."
            )
        return self._propose(who, {"op": "organisation-add", "oin": oin, "class": class_}, "organisation")

    def add_team(self, who: Signer, oin: str, team: str) -> Held:
        """Propose a team. Raises `Refused` where the organisation is unknown or has it."""
        return self._propose(who, {"op": "team-add", "oin": oin, "team": team}, "team")

    def remove_team(self, who: Signer, oin: str, team: str) -> Held:
        """Close a team at once. Raises `Refused` where there is none."""
        return self._propose(who, {"op": "team-remove", "oin": oin, "team": team})

    def set_kind(self, who: Signer, oin: str, kind: str, display_name: str, desk: str) -> Held:
        """Propose a kind, or another neutral name or desk number for one.

        Raises:
            Refused: No such organisation or kind, or no name.
        """
        if not self.version.vocabulary.has_kind(kind):
            raise Refused(f"{kind} is no kind of the vocabulary. Nothing was done.")
        name = display_name.strip()
        if not name:
            raise Refused("A kind has a neutral name that citizens and askers read. Nothing was done.")
        said = {"op": "kind-set", "oin": oin, "kind": kind, "displayName": name, "desk": desk.strip()}
        return self._propose(who, said)

    def remove_kind(self, who: Signer, oin: str, kind: str) -> Held:
        """Take a kind away. New publications are refused once the key holders signed it."""
        return self._propose(who, {"op": "kind-remove", "oin": oin, "kind": kind})

    def let_in(self, who: Signer, request: bytes) -> Held:
        """Propose a node by its request file, or another key, address or task of one that is there.

        Raises:
            Refused: The file is not signed as it should be, or of the other environment.
        """
        try:
            asked = parse_request(request)
        except NotTrusted as error:
            raise Refused(f"The request is refused: {error}. Nothing was done.") from None
        if asked.environment != self.settings.environment:
            raise Refused(
                f"This is a {self.settings.environment} environment, and the node asks for one of "
                f"{asked.environment}. Nothing was done."
            )
        said = {
            "op": "node-set", "oin": asked.oin, "node": asked.node, "url": asked.url,
            "ed25519": asked.ed25519, "classes": list(asked.classes), "scopes": list(asked.scopes),
        }  # fmt: skip
        return self._propose(who, said, "node")

    def remove_node(self, who: Signer, node: str) -> Held:
        """Shut a node out at once. Its flags stay until they expire; `leave` purges."""
        found = self.directory.node(node)
        if found is None:
            raise Refused("This node is not in the directory. Nothing was done.")
        said = {"op": "node-remove", "node": node, "oin": found.oin, "number": found.number}
        return self._propose(who, said)

    def leave(self, who: Signer, oin: str) -> Held:
        """Propose that an organisation leaves. With the second person everything of it is purged.

        Raises:
            Refused: It is not in the directory.
        """
        one = _organisation(self.directory, oin)
        own = [node for node in self.directory.nodes if node.oin == oin]
        said = {
            "op": "leave", "oin": oin, "organisation": one.number,
            "nodes": {node.id: node.number for node in own},
        }  # fmt: skip
        return self._propose(who, said)

    def merge(self, who: Signer, oin: str, into: str, teams: Mapping[str, str], registers: Registers) -> Held:
        """Propose that an organisation goes over into another, with its nodes and their flags.

        Args:
            teams: For each of its teams the team that it becomes.

        Raises:
            Refused: It would give its people more than they have: another class, a profile, a
                convenant or a mandate that the former organisation does not have.
        """
        if oin == into:
            raise Refused("An organisation cannot go over into itself. Nothing was done.")
        self._not_wider(oin, into, registers)
        new = _organisation(self.directory, into)
        first = 1 + max([self._used("team", into), *(team.number for team in new.teams)])
        fresh = [name for name in dict.fromkeys(teams.values()) if new.team(name) is None]
        numbers = {name: first + at for at, name in enumerate(fresh)}
        moves = [
            {"from": old, "into": name, "number": numbers.get(name, 0)} for old, name in sorted(teams.items())
        ]
        return self._propose(who, {"op": "merge", "oin": oin, "into": into, "teams": moves})

    def approve(self, who: Signer, about: int, registers: Registers) -> Held:
        """The second person: it is to be in the next directory.

        Raises:
            Refused: No such change waits, this is the person who proposed it, or it fits no more.
        """
        change = self._waiting(about)
        if who.name in change.by:
            raise Refused(f"{who.name} proposed it; another person approves it. Nothing was done.")
        if change.op == "merge":
            self._not_wider(change.said["oin"], change.said["into"], registers)
        draft(self.directory, [*self.changes.approved(), change])
        return self._take(who, Act(t="directory-approve", at=self.sitting.seconds, about=about))

    def withdraw(self, who: Signer, about: int) -> Held:
        """Drop a proposal that waits. Raises `Refused` where none does."""
        self._waiting(about)
        return self._take(who, Act(t="directory-withdraw", at=self.sitting.seconds, about=about))

    def adopt(self, who: Signer, raws: Sequence[bytes], threshold: int) -> tuple[Held, bytes]:
        """Put a directory in force that t key holders signed; the bytes to write are the second of the pair.

        1. All files hold the same directory.
        2. Enough pinned key holders signed it.
        3. It is exactly what was approved here, up to one of the approvals.

        Raises:
            Refused: One of these does not hold.
        """
        document = _joined(raws, self.settings.pins(), threshold)  # 1, 2
        bare = encode(msgspec.structs.replace(document, sigs={}))
        digest = hashlib.sha256(bare).hexdigest()
        for held in self.sitting.history:
            if (held.act.t, held.act.about, held.act.hash) == ("directory-adopt", document.version, digest):
                # Adopted before; the file was not written.
                return held, encode(document)
        approved = self.changes.approved()
        for count in range(len(approved), 0, -1):  # 3
            if encode(draft(self.directory, approved[:count])) == bare:
                break
        else:
            raise Refused("This directory is not what was approved here. Nothing was done.")
        act = Act(
            t="directory-adopt",
            at=self.sitting.seconds,
            about=document.version,
            hash=digest,
            detail={"changes": [one.id for one in approved[:count]]},
        )
        return self._take(who, act), encode(document)

    # --- parts -----------------------------------------------------------------------------

    def _propose(self, who: Signer, said: dict[str, Any], numbered: str = "") -> Held:
        if numbered:
            said["number"] = self._fresh(numbered, said)
        seq, seconds = self.sitting.standing.acts + 1, self.sitting.seconds
        if said["op"] in _OPS and said.get("oin") in self.changes.left():
            raise Refused("This organisation leaves or left. Nothing was done.")
        # It must fit what was approved, so that no approval can make the rest impossible to sign.
        draft(self.directory, [*self.changes.approved(), Change(seq, said, (), seconds)])
        verb = "close" if said["op"] in CLOSES else "add"
        return self._take(who, Act(t=f"directory-{verb}", at=seconds, detail=said))

    def _fresh(self, what: str, said: Mapping[str, Any]) -> int:
        """A number that was never given before, also not to what is gone."""
        directory = self.directory
        if what == "organisation":
            listed = [one.number for one in directory.organisations]
        elif what == "node":
            listed = [node.number for node in directory.nodes]
        else:
            found = directory.organisation(said["oin"])
            listed = [team.number for team in found.teams] if found else []
        return 1 + max([0, *listed, self._used(what, str(said.get("oin", "")))])

    def _used(self, what: str, oin: str) -> int:
        ops = {"organisation": "organisation-add", "node": "node-set", "team": "team-add"}
        used = [0]
        for one in self.changes.known.values():
            said = one.said
            if one.op == ops[what] and (what != "team" or said["oin"] == oin):
                used.append(said["number"])
            elif one.op == "leave" and what == "node":
                used += said["nodes"].values()
            elif one.op == "leave" and what == "organisation":
                used.append(said["organisation"])
            elif one.op == "node-remove" and what == "node":
                used.append(said["number"])
            elif one.op == "team-remove" and what == "team" and said["oin"] == oin:
                used.append(said.get("number", 0))
            elif one.op == "merge" and what == "team" and said["into"] == oin:
                used += [move["number"] for move in said["teams"]]
        return max(used)

    def _not_wider(self, oin: str, into: str, registers: Registers) -> None:
        from policy.versions import opened

        old, new = _organisation(self.directory, oin), _organisation(self.directory, into)
        if old.class_ != new.class_:
            raise Refused("The two organisations have another class. Nothing was done.")
        profiles = (registers.profile_of(oin), registers.profile_of(into))
        if profiles[0] != profiles[1] and opened(
            self.version, self.version, profiles=profiles, classes=(old.class_,)
        ):
            raise Refused(
                f"The profile {profiles[1]} opens more than {profiles[0]}, that of the former organisation. "
                "Give them one profile first. Nothing was done."
            )
        theirs = [entry for entry in registers.entries.values() if entry.organisation == oin]
        for entry in registers.entries.values():
            if entry.organisation != into or not entry.may_hold(self.sitting.seconds):
                continue
            if not any(other.covers(entry) for other in theirs):
                raise Refused(
                    f"The {entry.what} with number {entry.id} is of the new organisation alone. End it, "
                    "or register it for the former organisation first. Nothing was done."
                )

    def _waiting(self, about: int) -> Change:
        change = self.changes.known.get(about)
        if change is None or change.state != "waiting":
            raise Refused(f"No change with number {about} waits for a second person. Nothing was done.")
        return change

    def _take(self, who: Signer, act: Act) -> Held:
        return self.sitting.add(signed(self.settings, who, act))


def _joined(raws: Sequence[bytes], pins: Mapping[str, bytes], threshold: int) -> Directory:
    """One document out of several copies with a signature each."""
    sigs: dict[str, str] = {}
    bare: bytes | None = None
    for raw in raws:
        try:
            document = msgspec.json.decode(raw, type=Directory)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refused("A file is no directory. Nothing was done.") from None
        own = encode(msgspec.structs.replace(document, sigs={}))
        if bare is not None and own != bare:
            raise Refused("The files hold different directories. Nothing was done.")
        bare, sigs = own, {**sigs, **document.sigs}
    if bare is None:
        raise Refused("No file was given. Nothing was done.")
    whole = msgspec.structs.replace(msgspec.json.decode(bare, type=Directory), sigs=sigs)
    try:
        return parse_directory(encode(whole), pins, threshold)
    except NotTrusted as error:
        raise Refused(f"The directory is refused: {error}. Nothing was done.") from None


# --- for everybody who reads -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """An organisation that takes part, as an officer's page shows it (O11). Times are Unix seconds."""

    oin: str
    class_: str
    profile: str
    nodes: tuple[str, ...]
    teams: tuple[str, ...]
    kinds: tuple[KindEntry, ...]
    convenants: tuple[tuple[tuple[str, ...], tuple[str, ...], int, int], ...]
    """Kinds, purposes, begin and end of each that holds or is to hold."""
    mandates: tuple[tuple[str, str, int, int], ...]
    """Act, decision, begin and end."""
    waiting: tuple[Change, ...]
    """What somebody proposed, and what the key holders have not signed yet."""


def members(directory: Directory, registers: Registers) -> list[Member]:
    """Everybody in the directory, with what is registered for them."""
    rules = {one.organisation: one for one in registers.published()}
    found = []
    for one in sorted(directory.organisations, key=lambda entry: entry.number):
        own = rules.get(one.oin)
        nodes = {node.id for node in directory.nodes if node.oin == one.oin}
        found.append(
            Member(
                one.oin,
                one.class_,
                registers.profile_of(one.oin),
                tuple(sorted(nodes)),
                tuple(team.id for team in one.teams),
                tuple(one.kinds),
                tuple(
                    (tuple(c.kinds), tuple(c.purposes), c.begin, c.end)
                    for c in (own.convenants if own else ())
                ),
                tuple((m.act, m.decision, m.begin, m.end) for m in (own.mandates if own else ())),
                tuple(
                    change
                    for _, change in sorted(registers.changes.known.items())
                    if change.state in ("waiting", "approved")
                    and (change.said.get("oin") == one.oin or change.said.get("node") in nodes)
                ),
            )
        )
    return found
