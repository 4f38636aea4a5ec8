"""How commands speak: one JSON object or plain lines, one clear line on failure, fixed exit codes.

| code | meaning |
|------|---------|
| 0 | done, and everything that was checked holds |
| 1 | a check failed, or the answer is no (refused, not valid, a step of the story did not hold) |
| 2 | wrong use of the command |
| 3 | cannot start: a setting, key file or port |
| 4 | hub, key holders or a source cannot be reached; nothing was lost |
| 5 | a person must confirm first: the snapshot shrinks too much |
| 70 | a defect in the program; what is printed has no number of a person in it |
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

FAILED = 1
WRONG_USE = 2
CANNOT_START = 3
UNREACHABLE = 4
CONFIRM = 5
DEFECT = 70

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]

EXIT_CODES = (
    "Exit codes: 0 done; 1 a check failed or refused; 2 wrong use; 3 cannot start (setting, key file, port); "
    "4 hub, key holders or source unreachable; 5 a person must confirm first; 70 a defect."
)


def emit(data: Any, as_json: bool, text: str) -> None:
    """Print the result: `data` as one line of JSON, or `text` for people."""
    import msgspec

    try:
        print(msgspec.json.encode(data).decode() if as_json else text, flush=True)
    except BrokenPipeError:
        # Whoever read it, such as `head`, has seen enough. What is still in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int) -> typer.Exit:
    """One line on standard error, without any burgerservicenummer; raise what is returned."""
    from deploy.redaction import mask_text

    print(mask_text(message), file=sys.stderr, flush=True)
    return typer.Exit(code)


@contextmanager
def plainly() -> Iterator[None]:
    """Turn the errors an operator can repair into one line and an exit code; log only warnings."""
    import logging

    from deploy.logging_setup import set_up_logging

    set_up_logging("vlagwijzer", level=logging.WARNING)
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:
        code = _code(error)
        if code is None:
            import traceback

            raise fail(f"A defect, please report it.\n{traceback.format_exc()}", DEFECT) from None
        raise fail(_sentence(error), code) from None


def _code(error: Exception) -> int | None:
    """The exit code of an error that an operator can repair; None for a defect."""
    from deploy.serve import PortTaken
    from index.protocol.keyfile import KeyFileError

    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    # By name, so that a command does not import the parts of other processes to tell errors apart.
    if isinstance(error, PortTaken | KeyFileError) or names & _CANNOT_START:
        return CANNOT_START
    if "nodes.errors.ShrinkStops" in names:
        return CONFIRM
    if names & _UNREACHABLE:
        return UNREACHABLE
    if names & {"nodes.errors.NodeError", "nodes.bsn.BadBsn", "deploy.demo.fleet.DemoFailed"}:
        return FAILED
    return None


_UNREACHABLE = {
    "nodes.errors.HubUnreachable",
    "nodes.errors.HoldersUnreachable",
    "nodes.errors.SourceUnreachable",
}
_CANNOT_START = {
    "index.settings.SettingsError",
    "nodes.errors.SettingsError",
    "nodes.keyholder.errors.CannotStart",
    "deploy.measuring.hub.CannotMeasure",
    "policy.vocabulary.VocabularyError",
    "index.store.migrate.SchemaNotCurrent",
    "index.accesslog.errors.LogError",
}


def _sentence(error: Exception) -> str:
    if errors := getattr(error, "errors", None):
        return "\n".join(f"{one.field}: {one.detail}" for one in errors)
    detail = getattr(error, "detail", "")
    name = type(error).__name__
    if name == "ShrinkStops":
        return f"{detail} The option --confirm-shrink says so."
    return str(detail or error) or {
        "HubUnreachable": "The hub cannot be reached. Nothing was viewed and nothing is lost.",
        "HoldersUnreachable": "Too few key holders can be reached. Nothing was viewed and nothing is lost.",
    }.get(name, name)
