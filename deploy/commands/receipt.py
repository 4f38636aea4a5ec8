"""`vlagwijzer receipt verify`: check a citizen's proof of a choice, offline."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import FAILED, WRONG_USE, AsJson, emit, fail, plainly

app = typer.Typer(no_args_is_help=True, help="Signed proofs of choices.")


@app.callback()
def receipts() -> None:
    """Signed proofs of choices."""


@app.command("verify")
def verify(  # noqa: PLR0917  # each is an option of the command; typer passes them by name
    file: Annotated[
        Path | None, typer.Argument(help="File with receipts, one a line; absent: standard input.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="The hub's published keys, as /v1/receipt-keys gives them.")
    ] = None,
    key: Annotated[str, typer.Option(help="Instead: the receipt key, Ed25519, 32 bytes, base64url.")] = "",
    issuer: Annotated[str, typer.Option(help="With --key: the hub's id, as receipts must name it.")] = "",
    text: Annotated[
        Path | None, typer.Option(help="File with the text that was confirmed; every receipt must be of it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check signature and terms of consent receipts. Needs no network. Exit 1 when one does not hold."""
    with plainly():
        known = _keys(keys, key, issuer)
        lines = (file.read_text() if file else sys.stdin.read()).split()
        if not lines:
            raise fail("There is no receipt in it.", FAILED)
        shown = None if text is None else text.read_text(encoding="utf-8").rstrip("\n")
        found = [_checked(line, known, shown) for line in lines]
        valid = all(one["valid"] for one in found)
        told = "\n".join(line for one in found for line in _told(one))
        emit({"valid": valid, "receipts": found}, as_json, told)
        if not valid:
            raise typer.Exit(FAILED)


def _keys(file: Path | None, key: str, issuer: str) -> dict[str, bytes]:
    """Public keys by the hub that signs with them."""
    import msgspec

    from index.protocol.codec import EncodingError, unb64u

    if (file is None) == (not key or not issuer):
        raise fail("Give --keys FILE, or --key with --issuer.", WRONG_USE)
    try:
        published = (
            {"kid": issuer, "consent": key} if file is None else msgspec.json.decode(file.read_bytes())
        )
        listed = published if isinstance(published, list) else [published]
        return {str(one["kid"]): unb64u(one["consent"], 32) for one in listed}
    except (EncodingError, msgspec.DecodeError, KeyError, TypeError, AttributeError):
        raise fail("The keys are not as a hub publishes them. Nothing was checked.", WRONG_USE) from None
    except OSError:
        raise fail(f"{file} cannot be read. Nothing was checked.", WRONG_USE) from None


def _checked(token: str, keys: dict[str, bytes], text: str | None) -> dict[str, Any]:
    from consent.receipt import ReceiptInvalid, claims_of, shows, verify_any

    try:
        receipt = verify_any(token, keys)
    except ReceiptInvalid as error:
        return {"valid": False, "reason": str(error)}
    if text is not None and not shows(receipt, text):
        return {"valid": False, "reason": "another text was confirmed", **claims_of(receipt)}
    return {"valid": True, **claims_of(receipt)}


def _told(found: dict[str, Any]) -> list[str]:
    if not found["valid"]:
        return [f"Not valid: {found['reason']}."]
    return [
        "Valid.",
        *(
            f"  {entry['scope']}: {entry['effect']} {'/'.join(entry['pii_type']) or 'all'}"
            f" for {'/'.join(entry['recipient_third_parties']) or 'all'}, until {entry['until'] or 'no end'}"
            for entry in found["entries"]
        ),
    ]
