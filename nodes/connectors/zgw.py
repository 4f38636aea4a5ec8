"""Cases of a ZGW case system: a notification says that something changed, the Zaken API says what.

    notification -> case -> case type -> kind
                         -> final state or result? -> Gone for all its persons
                         -> roles (BSN)            -> Fact per person; who left -> Gone
                         -> deelzaken              -> the same, with the roles of the main case

The notification holds no person and is only a reason to ask. Nothing outside
the configured addresses is fetched, redirects are not followed, answers are
bounded. A fault of the API changes nothing: it is asked again. A destroyed case
cannot be fetched any more, so the node remembers which references were its.

Source: docs/design/ecosystem.md, "From message to publish or retract";
Zaken API 1.5 and Notificaties API 1.0 (VNG).
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import jwt
import msgspec
from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from policy.vocabulary import Vocabulary

from ..errors import BadInput, SettingsError, SourceUnreachable
from ..settings import SourceSettings
from ..store.database import reading
from ..store.tables import zaak as zaak_table
from .facts import Fact, Gone, Nothing, Read
from .references import References
from .rows import PACKAGED, check_kinds

MAX_BYTES = 1024 * 1024
_DESTROYED = ""
"""Local reference of the row that says that a case was destroyed."""
_MOST_PAGES = 20
_LONG = 500
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]+", re.ASCII)
"""An address without fragment; what else stands in a message is fetched nowhere."""


class CaseTypes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which case types are which kind, and whose roles count."""

    zaaktypen: dict[str, str] = msgspec.field(default_factory=dict)
    """By `identificatie` of the case type, or by its address where no Catalogi API is set."""
    roles: list[str] = msgspec.field(default_factory=lambda: ["initiator"])
    unknown: Literal["reject", "nothing"] = "reject"
    ends_with_result: bool = True


class Notification(msgspec.Struct, frozen=True):
    """A message of the Notificaties API, the fields that are read."""

    kanaal: str
    resource: str
    actie: str
    hoofd_object: str = msgspec.field(name="hoofdObject")


@dataclass(slots=True)
class Found:
    """What follows from one notification: reads, and the cases to remember."""

    reads: list[Read] = field(default_factory=list)
    cases: dict[str, list[str]] = field(default_factory=dict)
    connector: str = ""

    def save(self, connection: Connection) -> None:
        """Write which references belong to which case."""
        for tag, refs in self.cases.items():
            connection.execute(
                delete(zaak_table).where(zaak_table.c.connector == self.connector, zaak_table.c.tag == tag)
            )
            for ref in refs:
                row = {"connector": self.connector, "tag": tag, "local_ref": ref}
                connection.execute(upsert(zaak_table).values(row).on_conflict_do_nothing())


def load_case_types(path: Path | None, vocabulary: Vocabulary) -> CaseTypes:
    """The mapping of case types.

    Raises:
        SettingsError: It is missing, holds something else, or names an unknown kind.
    """
    file = path or PACKAGED / "zgw.toml"
    try:
        found = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), CaseTypes)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise SettingsError(f"mapping {file} is missing or not TOML") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"mapping {file}: {error}") from None
    check_kinds(file, [kind for kind in found.zaaktypen.values() if kind], vocabulary)
    return found


class Cases:
    """Reads cases of one Zaken API.

    Args:
        secret: Shared with the API; signs a short token per request.
        now: Clock, UTC; dates the tokens.
    """

    def __init__(
        self,
        settings: SourceSettings,
        types: CaseTypes,
        *,
        secret: str,
        references: References,
        engine: Engine,
        http: httpx.AsyncClient,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._types = types
        self._secret = secret
        self._references = references
        self._engine = engine
        self._http = http
        self._now = now
        self._bases = [base.rstrip("/") + "/" for base in (settings.zaken_url, settings.catalogi_url) if base]

    async def read(self, content: bytes) -> Found:
        """What a notification means now.

        Raises:
            BadInput: It is no notification, or the case is of a type that is not in the mapping.
            SourceUnreachable: The API gave a fault; nothing follows from it.
        """
        said = notification(content)
        found = Found(connector=self._settings.name)
        if said.kanaal != "zaken":
            found.reads.append(Nothing("another channel than zaken"))
            return found
        self._inside(said.hoofd_object)
        if said.resource == "zaak" and said.actie == "destroy":
            self._forget(said.hoofd_object, found)
            return found
        if _DESTROYED in self._known(self._tag(said.hoofd_object)):
            found.reads.append(Nothing("the case was destroyed before"))
            return found
        case = await self._get(said.hoofd_object)
        await self._case(case, said.hoofd_object, found)
        for part in self._list(case, "deelzaken"):
            self._inside(part)
            await self._case(await self._get(part), part, found, above=said.hoofd_object)
        return found

    def _forget(self, address: str, found: Found) -> None:
        tag = self._tag(address)
        refs = [ref for ref in self._known(tag) if ref != _DESTROYED]
        found.reads += [Gone(ref, "the case was destroyed") for ref in refs] or [
            Nothing("no flag came from this case")
        ]
        found.cases[tag] = [*refs, _DESTROYED]

    async def _case(self, case: dict[str, Any], address: str, found: Found, above: str = "") -> None:
        kind = await self._kind(_text(case, "zaaktype"))
        tag = self._tag(address)
        before = [ref for ref in self._known(tag) if ref != _DESTROYED]
        if kind is None:
            found.reads.append(Nothing("cases of this type are no flag"))
            return
        if await self._ended(case):
            found.reads += [Gone(ref, "the case is closed") for ref in before] or [
                Nothing("a closed case that was never passed on")
            ]
            return
        persons = await self._persons(address)
        if not persons and (above := above or str(case.get("hoofdzaak") or "")):
            self._inside(above)
            persons = await self._persons(above)
        since = _text(case, "startdatum")[:7]
        now: list[str] = []
        for bsn in persons:
            ref = self._references.hidden("zgw", address, bsn)
            now.append(ref)
            item = {"bsn": bsn, "kind": kind, "localRef": ref, "since": since, "until": None}
            found.reads.append(Fact(item, reason="the case is open"))
        found.reads += [Gone(ref, "this person left the case") for ref in before if ref not in now]
        if not persons and not before:
            found.reads.append(Nothing("the case names no person"))
        # What was ever its own is remembered: a later message about the case must find it.
        found.cases[tag] = sorted({*before, *now})

    async def _kind(self, address: str) -> str | None:
        name = address
        if self._settings.catalogi_url:
            self._inside(address)
            name = _text(await self._get(address), "identificatie")
        kind = self._types.zaaktypen.get(name)
        if kind is None and self._types.unknown == "reject":
            raise BadInput("zaaktype", "unknown-code", "This case type is not in the mapping.")
        return kind or None

    async def _ended(self, case: dict[str, Any]) -> bool:
        if case.get("einddatum"):
            return True
        if self._types.ends_with_result and case.get("resultaat"):
            return True
        status = case.get("status")
        if not status or not self._settings.catalogi_url:
            return False
        self._inside(status)
        kind = _text(await self._get(status), "statustype")
        self._inside(kind)
        return (await self._get(kind)).get("isEindstatus") is True

    async def _persons(self, address: str) -> list[str]:
        base = self._settings.zaken_url.rstrip("/")
        following: str | None = f"{base}/rollen?{urlencode({'zaak': address})}"
        found: dict[str, None] = {}
        for _ in range(_MOST_PAGES):
            if following is None:
                return list(found)
            self._inside(following)
            page = await self._get(following)
            for role in self._list(page, "results"):
                if isinstance(role, dict) and (bsn := self._bsn(role)):
                    found[bsn] = None
            following = page.get("next")
        raise SourceUnreachable(self._settings.name, "too-many-pages")

    def _list(self, answer: dict[str, Any], name: str) -> list[Any]:
        found = answer.get(name) or []
        if not isinstance(found, list):
            raise SourceUnreachable(self._settings.name, "answer-form")
        return found

    def _bsn(self, role: dict[str, Any]) -> str:
        if role.get("betrokkeneType") != "natuurlijk_persoon":
            return ""
        if role.get("omschrijvingGeneriek") not in self._types.roles:
            return ""
        identified = role.get("betrokkeneIdentificatie")
        number = identified.get("inpBsn") if isinstance(identified, dict) else None
        return number if isinstance(number, str) else ""

    # --- asking ------------------------------------------------------------------------

    def _inside(self, address: object) -> None:
        """Refuse an address outside the APIs of the settings, whatever a message says."""
        if isinstance(address, str) and len(address) <= _LONG and _ADDRESS.fullmatch(address):
            plain = address.split("?")[0]
            if ".." not in plain and any(address.startswith(base) for base in self._bases):
                return
        raise BadInput("hoofdObject", "other-api", "This address is not in the APIs of this source.")

    async def _get(self, address: str) -> dict[str, Any]:
        name = self._settings.name
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Accept": "application/json",
            "Accept-Crs": "EPSG:4326",
        }
        try:
            async with self._http.stream(
                "GET", address, headers=headers, timeout=self._settings.timeout_seconds
            ) as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise SourceUnreachable(name, "answer-too-large")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceUnreachable(name, type(error).__name__) from None
        if answer.status_code in (404, 410):
            raise BadInput("zaak", "not-found", "The API does not know this case (any more).")
        if answer.status_code != 200:
            raise SourceUnreachable(name, f"status-{answer.status_code}")
        try:
            found = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SourceUnreachable(name, "answer-not-json") from None
        return found

    def _token(self) -> str:
        at = int(self._now().timestamp())
        claims = {
            "iss": self._settings.client_id,
            "client_id": self._settings.client_id,
            "iat": at,
            "exp": at + 300,
            "user_id": "",
            "user_representation": "vlagwijzer",
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def _tag(self, address: str) -> str:
        return self._references.tag("zaak", address)

    def _known(self, tag: str) -> list[str]:
        with reading(self._engine) as connection:
            return list(
                connection.scalars(
                    select(zaak_table.c.local_ref)
                    .where(zaak_table.c.connector == self._settings.name, zaak_table.c.tag == tag)
                    .order_by(zaak_table.c.local_ref)
                )
            )


def notification(content: bytes) -> Notification:
    """A message of the Notificaties API.

    Raises:
        BadInput: It is something else.
    """
    try:
        return msgspec.json.decode(content, type=Notification)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        rule = "A notification has kanaal, hoofdObject, resource and actie."
        raise BadInput("notification", "form", rule) from None


def dropped(content: bytes) -> list[str]:
    """Names in a notification of which nothing is read.

    Raises:
        BadInput: It is no notification.
    """
    notification(content)
    read = {"kanaal", "resource", "actie", "hoofdObject"}
    return [name for name in msgspec.json.decode(content, type=dict[str, Any]) if name not in read]


def _text(case: dict[str, Any], name: str) -> str:
    value = case.get(name)
    return value if isinstance(value, str) else ""
