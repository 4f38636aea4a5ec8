"""`vlagwijzer node sync|aside|first-load|doctor|conformance`: the sources of a node, and whether it is well.

Counts, local references and reasons; no person. A run that only tells is
`--dry-run`.

Source: docs/sources.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import CONFIRM, FAILED, UNREACHABLE, AsJson, emit, fail, plainly
from .progress import Shown

if TYPE_CHECKING:
    from deploy.source_tools import Ran
    from nodes.connectors.plan import Plan

Config = Annotated[Path, typer.Option("--config", help="Settings of this node (TOML).")]
Source = Annotated[str, typer.Option("--source", help="Name of the source in the settings.")]
Number = Annotated[int, typer.Argument(help="Number of `aside list`.", min=1)]
ConfirmShrink = Annotated[
    bool,
    typer.Option("--confirm-shrink", help="The list lost much, and somebody checked that it is right."),
]

_AS_BEFORE = "as before"
"""Reason of a row of a list that stays as it is; a message that changes nothing says why."""

aside = typer.Typer(no_args_is_help=True, help="Messages that could not be worked off, and why.")
first = typer.Typer(
    no_args_is_help=True, help="The first load of a source: deliver, correct, and two people sign."
)


def add_to(app: typer.Typer) -> None:
    """Add these commands to `vlagwijzer node`."""
    app.command("sync")(sync)
    app.command("doctor")(doctor)
    app.command("conformance")(conformance)
    app.add_typer(aside, name="aside")
    app.add_typer(first, name="first-load")


# --- what a plan says ------------------------------------------------------------------


def told(planned: Plan, *, dry_run: bool) -> dict[str, Any]:
    """A plan as JSON; rows that stay as they are are counted only."""
    steps = [
        {"action": step.action, "localRef": step.local_ref, "line": step.line, "reason": step.reason}
        for step in planned.steps
        if step.reason != _AS_BEFORE
    ]
    return {
        "dryRun": dry_run,
        "before": planned.before,
        "after": planned.after,
        "stops": planned.shrinks,
        "counts": planned.counts,
        "steps": steps,
    }


def told_plainly(planned: Plan, *, dry_run: bool) -> str:
    """A plan as lines: counts, and for a dry run a table of what would happen."""
    lines = [f"{count:>7} {action}" for action, count in planned.counts.items() if count]
    if dry_run:
        rows: list[tuple[str, str, str, str]] = [
            (step.action, step.local_ref or "-", f"line {step.line}" if step.line else "-", step.reason)
            for step in planned.steps
            if step.reason != _AS_BEFORE
        ]
        if rows:
            rows.insert(0, ("action", "reference", "place", "reason"))
            widths = [max(len(row[at]) for row in rows) for at in range(3)]
            lines += [
                "  " + "  ".join([*(row[at].ljust(widths[at]) for at in range(3)), row[3]]).rstrip()
                for row in rows
            ]
        if planned.shrinks:
            lines.append("This list lost so much that importing it asks for --confirm-shrink.")
    return "\n".join(lines) or "The list is empty."


def _ran(one: Ran, *, dry_run: bool) -> dict[str, Any]:
    refused = [{"place": place, "code": code, "reason": reason} for place, code, reason in one.refused]
    return {
        "source": one.source,
        "fault": one.fault,
        "runs": [told(planned, dry_run=dry_run) for planned in one.plans],
        "refused": refused,
    }


def _ran_plainly(one: Ran, *, dry_run: bool) -> str:
    lines = [f"{one.source}:"]
    lines += [told_plainly(planned, dry_run=dry_run) for planned in one.plans]
    lines += [f"  refused   {place}: {reason} ({code})" for place, code, reason in one.refused]
    if one.fault:
        lines.append(f"  cannot be read now ({one.fault}); nothing follows from that.")
    if len(lines) == 1:
        lines.append("  nothing new.")
    return "\n".join(lines)


# --- running ---------------------------------------------------------------------------


def sync(
    source: Source = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen, and why.")] = False,
    confirm_shrink: ConfirmShrink = False,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Read the sources once and send what waits, where no node process runs."""
    with plainly():
        from deploy.source_tools import run_sources

        with Shown("acknowledged", silent=as_json) as shown:
            ran, sent = run_sources(
                config, source, dry_run=dry_run, confirm_shrink=confirm_shrink, progress=shown
            )
        data = {"sources": [_ran(one, dry_run=dry_run) for one in ran], **sent}
        lines = [_ran_plainly(one, dry_run=dry_run) for one in ran]
        if not dry_run:
            lines.append("Nothing waits.")
        emit(data, as_json, "\n".join(lines) or "This node has no sources.")
        if any(code == "shrinks-too-much" for one in ran for _, code, _ in one.refused):
            raise typer.Exit(CONFIRM)
        if any(one.fault for one in ran):
            raise typer.Exit(UNREACHABLE)


@aside.command("list")
def list_aside(config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """What lies aside, with place and reason."""
    with plainly():
        from deploy.source_tools import aside as found

        rows = found(config)
        lines = [f"{row['id']}  {row['source']}  {row['place']}: {row['reason']}" for row in rows]
        emit({"aside": rows}, as_json, "\n".join(lines) or "Nothing lies aside.")


@aside.command("replay")
def replay(
    number: Annotated[int | None, typer.Argument(help="Number of `aside list`; absent: all.")] = None,
    confirm_shrink: ConfirmShrink = False,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Work it off again, after the mapping or the case was repaired."""
    with plainly():
        from deploy.source_tools import replay as again

        done = again(config, number, confirm_shrink=confirm_shrink)
        emit(done, as_json, f"{done['done']} worked off, {done['aside']} still aside.")
        if done["aside"]:
            raise typer.Exit(FAILED)


@aside.command("drop")
def drop(number: Number, config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """Erase one: it will never be worked off."""
    with plainly():
        from deploy.source_tools import drop as erase

        if not erase(config, number):
            raise fail("No message with this number lies aside.", FAILED)
        emit({"dropped": number}, as_json, "Erased.")


# --- the first load --------------------------------------------------------------------


@first.command("deliver")
def deliver(
    *,
    file: Annotated[
        Path, typer.Argument(help="The list, or the corrected rows.", exists=True, dir_okay=False)
    ],
    source: Source,
    rejected: Annotated[
        Path | None, typer.Option("--rejected", help="Where the rejected rows are written, with the reason.")
    ] = None,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Keep the rows that are right; nothing is passed on yet. Signatures before it are void."""
    with plainly():
        from deploy.source_tools import deliver as keep

        made = keep(config, source, file, rejected)
        bad = [
            {
                "line": one.line,
                "localRef": one.local_ref,
                "place": one.wrong.field,
                "reason": one.wrong.detail,
            }
            for one in made.rejections
        ]
        data = {
            "new": made.new,
            "changed": made.changed,
            "same": made.same,
            "kept": made.kept,
            "rejected": bad,
        }
        lines = [f"{made.new} new, {made.changed} changed, {made.same} as before; {made.kept} kept in all."]
        lines += [f"  line {one['line']}: {one['place']}: {one['reason']}" for one in bad]
        if bad and rejected:
            lines.append(f"The rejected rows are in {rejected}. Correct them and deliver that file.")
        emit(data, as_json, "\n".join(lines))


@first.command("status")
def first_status(source: Source, config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """How far it is."""
    with plainly():
        from deploy.source_tools import standing

        seen = standing(config, source)
        data = None if seen is None else {
            "kept": seen.kept, "rejected": seen.rejected, "signedBy": seen.signed_by
        }  # fmt: skip
        text = "Nothing was delivered." if seen is None else (
            f"{seen.kept} rows kept, {seen.rejected} still rejected, signed by {seen.signed_by or 'nobody'}."
        )  # fmt: skip
        emit({"firstLoad": data}, as_json, text)


@first.command("sign")
def sign(
    *,
    source: Source,
    by: Annotated[str, typer.Option("--by", help="Name of who signs, as registered in [approvers].")],
    key_file: Annotated[Path, typer.Option("--key", help="Own key file of this person (`policy key`).")],
    leave_rejected: Annotated[
        bool, typer.Option("--leave-rejected", help="Leave out what is still rejected.")
    ] = False,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Sign for what is kept. The second person's signature passes it on."""
    with plainly():
        from deploy.source_tools import sign as put

        planned = put(config, source, by, key_file, leave_rejected=leave_rejected)
        if planned is None:
            emit({"signed": by, "final": False}, as_json, "Signed. A second person has to sign as well.")
        else:
            data = {"signed": by, "final": True, **told(planned, dry_run=False)}
            emit(data, as_json, told_plainly(planned, dry_run=False))


@first.command("give-up")
def give_up(source: Source, config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """Erase what is kept; nothing was passed on."""
    with plainly():
        from deploy.source_tools import give_up as erase

        erase(config, source)
        emit({"erased": source}, as_json, "Erased. Nothing was passed on.")


# --- is it well ------------------------------------------------------------------------


def doctor(config: Config = Path("node.toml"), as_json: AsJson = False) -> None:
    """Look at clock, keys, manifest, holders, hub, database, mappings and outbox; say what to repair."""
    with plainly():
        from deploy.node_doctor import examine

        findings = examine(config)
        data = [{"check": one.check, "ok": one.ok, "detail": one.detail, "fix": one.fix} for one in findings]
        lines = [
            f"{'ok  ' if one.ok else 'FAIL'}  {one.check:<10} {one.detail}"
            + (f"\n      {'':<10} -> {one.fix}" if not one.ok else "")
            for one in findings
        ]
        emit({"ok": all(one.ok for one in findings), "checks": data}, as_json, "\n".join(lines))
        if not all(one.ok for one in findings):
            raise typer.Exit(FAILED)


def conformance(
    *,
    kind: Annotated[str, typer.Option(help="Kind that this node may publish.")],
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="The hub of these settings is a sandbox without real people.")
    ] = False,
    bsn_file: Annotated[
        Path | None,
        typer.Option("--bsn-file", help="File with an invented number; absent: standard input."),
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Where the report is written.")] = None,
    config: Config = Path("node.toml"),
    as_json: AsJson = False,
) -> None:
    """Try the promises of a node out against a sandbox; the report is for the convenant."""
    with plainly():
        from deploy.conformance import report_text, try_out

        from .node import numbers_from

        if not sandbox:
            raise fail("This publishes an invented flag. Say --sandbox when the hub is one.", FAILED)
        given = numbers_from(bsn_file)
        made = try_out(config, kind, given[0] if len(given) == 1 else "")
        text = report_text(made)
        if report is not None:
            report.write_text(text, encoding="utf-8")
        emit(made.data(), as_json, text)
        if not made.ok:
            raise typer.Exit(FAILED)
