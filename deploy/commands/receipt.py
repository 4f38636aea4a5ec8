"""`vlagwijzer receipt verify`: check a citizen's proof of a choice, offline."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .output import FAILED, AsJson, emit, fail, plainly

app = typer.Typer(no_args_is_help=True, help="Signed proofs of choices.")


@app.callback()
def receipts() -> None:
    """Signed proofs of choices."""


@app.command("verify")
def verify(
    key: Annotated[str, typer.Option(help="The hub's receipt key: Ed25519, 32 bytes, base64url.")],
    issuer: Annotated[str, typer.Option(help="The hub's id, as the receipt must name it.")],
    file: Annotated[
        Path | None, typer.Argument(help="File with the receipt; absent: standard input.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the signature and terms of a consent receipt. Needs no network."""
    with plainly():
        import jwt

        from consent.receipt import ReceiptInvalid, claims_of
        from consent.receipt import verify as verified
        from index.protocol.codec import EncodingError, unb64u

        token = (file.read_text() if file else sys.stdin.read()).strip()
        try:
            kid = str(jwt.get_unverified_header(token).get("kid", ""))
            found = claims_of(verified(token, keys={kid: unb64u(key, 32)}, issuer=issuer))
        except (ReceiptInvalid, jwt.InvalidTokenError, EncodingError) as error:
            raise fail(f"Not valid: {error}", FAILED) from None
        lines = [
            f"{entry['scope']}: {entry['event']} {'/'.join(entry['category']) or 'all'}"
            f" for {'/'.join(entry['recipients']) or 'all'}, until {entry['until'] or 'no end'}"
            for entry in found["entries"]
        ]
        emit(found, as_json, "\n".join(["Valid.", *lines]))
