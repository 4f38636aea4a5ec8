"""`vlagwijzer hub convenant|mandate|organisation`: what is registered for partners and organisations.

What opens something is added by one person and approved by another; what
closes holds with one. Every act is signed with the person's own key file.

Source: docs/design/policy-and-consent.md, "Profiles" and "Mandate".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import AsJson, emit
from .policy_versions import KeyFile, Settings, office_of, refusals

if TYPE_CHECKING:
    from index.acts import Held, Signer
    from index.registers import Desk, Entry, Registers

By = Annotated[str, typer.Option("--by", help="Name of who does it, as registered in [approvers].")]
Organisation = Annotated[str, typer.Option("--organisation", help="OIN of the organisation.")]
Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Day, in Europe/Amsterdam.")]
Id = Annotated[int, typer.Argument(help="Number, as `list` shows it.", min=1)]
On = Annotated[
    datetime | None,
    typer.Option("--on", formats=["%Y-%m-%d"], help="Ends at 00:00 of this day; absent: now."),
]

_LATEST = 2**40

convenant = typer.Typer(no_args_is_help=True, help="Convenants with partners: kinds, purposes, begin, end.")
mandate = typer.Typer(no_args_is_help=True, help="Mandates of the role generalist_mandaat.")
organisation = typer.Typer(no_args_is_help=True, help="The profile of each organisation.")


def add_to(app: typer.Typer) -> None:
    """Add these to `vlagwijzer hub`."""
    for name, part in (("convenant", convenant), ("mandate", mandate), ("organisation", organisation)):
        _add_common(part, name if name != "organisation" else "profile")
        app.add_typer(part, name=name)


@convenant.command("add")
def add_convenant(
    *,
    oin: Organisation,
    kinds: Annotated[list[str], typer.Option("--kind", help="Kind that it names; may be repeated.")],
    purposes: Annotated[list[str], typer.Option("--purpose", help="Purpose that it names; may be repeated.")],
    begin: Day,
    end: Day,
    by: By,
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Propose a convenant; another person approves it. Until then nothing opens."""
    _act(
        (settings, by, key_file),
        lambda desk, who: desk.add_convenant(
            who, organisation=oin, kinds=kinds, purposes=purposes, begin=begin.date(), end=end.date()
        ),
        as_json=as_json,
    )


@mandate.command("add")
def add_mandate(
    *,
    oin: Organisation,
    act: Annotated[str, typer.Option("--act", help="Act of the vocabulary's mandate register.")],
    decision: Annotated[str, typer.Option("--decision", help="Number of the decision.")],
    begin: Day,
    end: Day,
    by: By,
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Propose a mandate; another person approves it. Until then nothing opens."""
    _act(
        (settings, by, key_file),
        lambda desk, who: desk.add_mandate(
            who, organisation=oin, act=act, decision=decision, begin=begin.date(), end=end.date()
        ),
        as_json=as_json,
    )


@organisation.command("profile")
def set_profile(
    *,
    oin: Organisation,
    profile: Annotated[str, typer.Option("--profile", help="Profile of the vocabulary.")],
    by: By,
    key_file: KeyFile,
    settings: Settings = Path("hub.toml"),
    as_json: AsJson = False,
) -> None:
    """Give an organisation a profile: at once if it opens nothing, else when another person approves."""
    _act(
        (settings, by, key_file),
        lambda desk, who: desk.set_profile(who, oin, profile),
        more=(profile,),
        as_json=as_json,
    )


def _add_common(part: typer.Typer, what: str) -> None:
    """`approve`, `list` and `history`; `end` where something has an end."""

    @part.command("approve")
    def approve(
        number: Id, by: By, key_file: KeyFile, settings: Settings = Path("hub.toml"), as_json: AsJson = False
    ) -> None:
        """The second person: from now on it holds."""
        _act((settings, by, key_file), lambda desk, who: desk.approve(what, who, number), as_json=as_json)

    if what != "profile":

        @part.command("end")
        def end(
            *,
            number: Id,
            by: By,
            key_file: KeyFile,
            on: On = None,
            settings: Settings = Path("hub.toml"),
            as_json: AsJson = False,
        ) -> None:
            """End it, now or at 00:00 of a day. One person is enough."""
            day = on.date() if on else None
            _act(
                (settings, by, key_file), lambda desk, who: desk.end(what, who, number, day), as_json=as_json
            )

    @part.command("list")
    def listed(settings: Settings = Path("hub.toml"), as_json: AsJson = False) -> None:
        """What is registered, with what holds now."""
        with refusals(), _read(settings) as (acts, now):
            from index.registers import Registers

            rows = list(_rows(Registers().after(acts), what, now))
        emit(rows, as_json, "\n".join(_line(row) for row in rows) or "Nothing is registered.")

    @part.command("history")
    def history(settings: Settings = Path("hub.toml"), as_json: AsJson = False) -> None:
        """Every act, with who signed it."""
        with refusals(), _read(settings) as (acts, _):
            rows = [
                {
                    "number": seq,
                    "act": act.t,
                    "at": _instant(act.at),
                    "about": act.about or seq,
                    "by": [person.name for person in act.by],
                    "detail": act.detail,
                }
                for seq, act in acts
                if act.t.startswith(f"{what}-")
            ]
        emit(rows, as_json, "\n".join(_line(row) for row in rows) or "Nothing was ever registered.")


def _act(
    asked: tuple[Path, str, Path],
    do: Callable[[Desk, Signer], Held],
    *,
    as_json: bool,
    more: tuple[str, ...] = (),
) -> None:
    """One act of one person: `asked` is settings, name and key file."""
    settings, by, key_file = asked
    with refusals():
        from index.acts import signer
        from index.app import organisation_classes
        from index.policies import Publishing
        from index.registers import Desk, Registers

        with office_of(settings) as (read, office, directory):
            who = signer(read, by, key_file)
            number, version, _ = Publishing(office, organisation_classes(directory)).running(more)
            with office.sitting() as sitting:
                if sitting.standing.number_at(sitting.seconds) != number:
                    from index.acts import Refused

                    raise Refused("Another version of the policy came into force; do it again.")
                held = do(Desk(read, directory, version, sitting), who)
                now = sitting.seconds
                registers = Registers().after(sitting.history)
        about = held.act.about or held.seq
        rows = _rows(registers, held.act.t.partition("-")[0], now)
        row = next(row for row in rows if row["number"] == about)
        emit(row, as_json, _line(row))


@contextmanager
def _read(path: Path) -> Iterator[tuple[list[Held], int]]:
    from index.acts import history

    with office_of(path) as (_, office, _directory):
        with office.engine.connect().execution_options(reading=True) as connection:
            acts = history(connection, office.keystore)
        yield acts, int(office.clock().timestamp())


def _rows(registers: Registers, what: str, now: int) -> Iterator[dict[str, Any]]:
    if what == "profile":
        for one in registers.profiles:
            holds = not one.waiting and registers.profile_of(one.organisation) == one.profile
            state = "waiting" if one.waiting else "in force" if holds else "past"
            yield {
                "number": one.id, "organisation": one.organisation, "profile": one.profile, "state": state,
                "by": list(one.by),
            }  # fmt: skip
        return
    for entry in registers.entries.values():
        if entry.what == what:
            kept = {k: v for k, v in entry.detail.items() if k not in ("organisation", "begin", "end")}
            yield {
                "number": entry.id, "organisation": entry.organisation, **kept, "begin": _day(entry.begin),
                "end": _day(entry.closed_at or entry.end), "state": _state(entry, now), "by": list(entry.by),
            }  # fmt: skip


def _state(entry: Entry, now: int) -> str:
    if entry.closed_at or entry.end <= now:
        return "ended"
    if not entry.approved_at:
        return "waiting"
    return "in force" if entry.in_force(now) else "later"


def _day(seconds: int) -> str:
    from index.registers import AMSTERDAM

    if seconds > _LATEST:
        return ""
    return f"{datetime.fromtimestamp(seconds, AMSTERDAM):%Y-%m-%d %H:%M}"


def _instant(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _line(row: dict[str, Any]) -> str:
    texts = {name: " ".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in row.items()}
    return ", ".join(f"{name} {text or '-'}" for name, text in texts.items())
