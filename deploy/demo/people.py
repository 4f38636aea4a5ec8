"""Logging in as the demo's people without a browser: employee tokens, and a citizen's code flow."""

import base64
import hashlib
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from . import plan
from .fleet import DemoFailed
from .papers import Papers, opened


class PersonUnknown(Exception):
    """No employee of the demo has this name."""


def employee_token(person: str, folder: Path) -> str:
    """A fresh employee token of the running demo in this folder.

    Raises:
        PersonUnknown: Nobody, or somebody without an organisation's token: a citizen, the officer.
        DemoFailed: No demo runs with this folder.
    """
    found = next((entry for entry in plan.EMPLOYEES if entry.name.lower() == person.lower()), None)
    if found is None or not found.node:
        names = ", ".join(entry.name for entry in plan.EMPLOYEES if entry.node)
        raise PersonUnknown(f"There are tokens for: {names}.")
    try:
        papers = opened(folder.resolve())
    except FileNotFoundError:
        raise DemoFailed(f"No demo was started with --data {folder}.") from None
    return token_of(found, papers.base)


def token_of(person: plan.Person, base: int) -> str:
    """A fresh employee token for the person's own node.

    Raises:
        DemoFailed: The identity provider does not answer: the demo does not run.
    """
    issuer = next(entry for entry in plan.ISSUERS if entry.id == person.issuer)
    try:
        answer = httpx.post(
            f"{plan.url(base, issuer.offset)}/employee-tokens",
            data={"user": person.user, "audience": person.node},
            timeout=10,
            trust_env=False,
        )
        answer.raise_for_status()
    except httpx.HTTPError:
        raise DemoFailed("The demo does not run: its identity provider gives no answer.") from None
    return str(answer.json()["access_token"])


def citizen_id_token(papers: Papers, user: str) -> str:
    """Log in as a citizen with the code flow, as a browser would, and give the portal's id token."""
    issuer = plan.url(papers.base, plan.CITIZEN_ISSUER.offset)
    back = f"{plan.url(papers.base, plan.node(plan.PORTAL_NODE).offset)}/login/terug"
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    question = urlencode(
        {
            "response_type": "code",
            "client_id": plan.PORTAL_NODE,
            "redirect_uri": back,
            "scope": "openid profile",
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
    )
    secret = (papers.node(plan.PORTAL_NODE) / "login-secret.txt").read_text().strip()
    with httpx.Client(timeout=10, trust_env=False) as client:
        sent = client.post(f"{issuer}/oauth2/authorize?{question}", data={"sub": user})
        code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
        tokens = client.post(
            f"{issuer}/oauth2/token",
            auth=(plan.PORTAL_NODE, secret),
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": back,
                "code_verifier": verifier,
            },
        )
    return str(tokens.json()["id_token"])
