"""One function per parser: bytes in, True when they were accepted, False when refused.

A parser may raise its own error and nothing else. Where there is something to
compare (a canonical form, another implementation), a difference is an
`AssertionError`. Tokens and boxes are made with fixed keys, so that what lies
behind a good signature is reached too.
"""

import asyncio
import contextlib
import functools
import io
import json
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey
from sqlalchemy import Engine

from consent import directive, state
from consent import receipt as consent_receipt
from consent.pages import login
from consent.pages.settings import LoginSettings
from deploy.redaction import mask_text
from index import ristretto as hub_ristretto
from index import tickets
from index.accesslog import tiles
from index.accesslog.errors import LogInconsistent
from index.accesslog.lasthead import HeadFile
from index.aead import seal_box
from index.app import RULES
from index.protocol import (
    addcheckpoint,
    codec,
    entry,
    evaluate,
    export,
    http,
    merkle,
    messages,
    mirror,
    note,
    points,
    proof,
    receipt,
    signedpolicy,
    statement,
    tilereading,
    tlogpolicy,
)
from index.protocol.directory import (
    SUITE,
    BrokerEntry,
    Canary,
    Directory,
    HolderEntry,
    HubEntry,
    KindEntry,
    Manifest,
    NotTrusted,
    OrganisationEntry,
    ScopeKey,
    canary_input,
    parse_directory,
    parse_manifest,
)
from index.settings import HubSettings
from nodes import api, hub, pseudonymise
from nodes.bsn import BadBsn, Bsn
from nodes.connectors import csv, excel, suwinet, zgw
from nodes.connectors.facts import Fact, Read
from nodes.connectors.istandaarden import Messages, load_codes
from nodes.connectors.references import References
from nodes.connectors.rows import Mapped, load_mapping, names_of
from nodes.connectors.zgw import Cases, CaseTypes, notification
from nodes.desk_links import DeskLinks, _digest
from nodes.employees import Employee, EmployeeTokens
from nodes.errors import BadInput, BadItems, NotAllowed, SettingsError, SourceUnreachable
from nodes.keyholder import evaluation
from nodes.keyholder.settings import KeyHolderSettings
from nodes.oprf import ristretto
from nodes.outbox import Outbox
from nodes.publication import Publication, Rules, check_local_ref, holds_bsn
from nodes.settings import NodeKeys, NodeSettings, SourceSettings, TokenSettings
from nodes.store.database import open_engine
from policy.vocabulary import VocabularyError, load_vocabulary, parse_vocabulary

Target = Callable[[bytes], bool]
TARGETS: dict[str, Target] = {}

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SEED = bytes(range(32))
SIGNER = SigningKey(SEED)
PUBLIC = bytes(SIGNER.verify_key)
PINS = {"kh-a": PUBLIC}
VOCABULARY = load_vocabulary()
HUB = "hub.example.nl"
OIN = "00000009876543210000"
ISSUER = "https://login.test"
LOGIN_KEY = ec.derive_private_key(int.from_bytes(SEED, "big"), ec.SECP256R1())
MOST = 64 * 1024


def target(*own: type[Exception]) -> Callable[[Callable[[bytes], object]], Target]:
    """Register a parser with its own errors; what it returns false for is refused too."""

    def register(parse: Callable[[bytes], object]) -> Target:
        @functools.wraps(parse)
        def run(data: bytes) -> bool:
            try:
                return parse(data[:MOST]) is not False
            except own:
                return False

        TARGETS[parse.__name__] = run
        return run

    return register


def text_of(data: bytes) -> str:
    """Text as it comes in a header: any of 256 characters."""
    return data.decode("latin-1")


# --- index/protocol -------------------------------------------------------------------


@target(statement.StatementError)
def statement_headers(data: bytes) -> object:
    """Two header lines as they came."""
    first, _, second = text_of(data).partition("\n")
    return statement.parse_statement({statement.STATEMENT_HEADER: first, statement.SIGNATURE_HEADER: second})


@target(statement.StatementError)
def statement_json(data: bytes) -> object:
    """What lies inside the header."""
    found = statement.parse_statement(
        {statement.STATEMENT_HEADER: codec.b64u(data), statement.SIGNATURE_HEADER: codec.b64u(bytes(64))}
    )
    assert codec.jcs(found.statement) == data
    return found


@target(codec.EncodingError)
def base64url(data: bytes) -> object:
    raw = codec.unb64u(text_of(data))
    assert codec.b64u(raw) == text_of(data)
    return raw


@target(codec.EncodingError)
def canonical_json(data: bytes) -> object:
    value = codec.unjcs(data)
    assert json.loads(data) == value
    return True


BODIES = [rule.body for rule in RULES]
ANSWERS = [messages.LookupAnswer, messages.RelationAnswer, messages.ChangeReceipt, messages.OwnLogAnswer]


@target(http.BadBody)
def hub_bodies(data: bytes) -> object:
    """The first byte chooses the route."""
    return http.decode_body(data[1:], BODIES[data[0] % len(BODIES)]) if data else False


@target(msgspec.DecodeError, UnicodeDecodeError, RecursionError)
def hub_answers(data: bytes) -> object:
    """What a node decodes; the errors are those that its hub client catches."""
    return msgspec.json.decode(data[1:], type=ANSWERS[data[0] % len(ANSWERS)]) if data else False


@target()
def json_depth(data: bytes) -> object:
    """The scan agrees with the parser on everything that is JSON."""
    deep = http.is_too_deep(data)
    try:
        value = json.loads(data, parse_constant=lambda _: 1 / 0)
    except (ValueError, RecursionError, ZeroDivisionError):
        return False
    assert deep == (_depth(value) > http.MAX_DEPTH)
    return True


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@target(entry.EntryError)
def entry_asker(data: bytes) -> object:
    asker = entry.parse_asker(data)
    entry.kinds_shown(codec.unb64u(asker.shown) if _is_b64u(asker.shown) else b"")
    if asker.t in statement.T_OF_PATH.values():
        with contextlib.suppress(entry.EntryError):
            entry.statement_of(asker, f"{HUB}/v1/log")
    return asker


def _is_b64u(text: str) -> bool:
    try:
        codec.unb64u(text)
    except codec.EncodingError:
        return False
    return True


@target(entry.EntryError)
def entry_chain(data: bytes) -> object:
    return entry.parse_chain(data)


@target(entry.EntryError)
def entry_plain(data: bytes) -> object:
    return entry.opened_from(data)


@target(entry.EntryError)
def entry_decisions(data: bytes) -> object:
    return entry.decisions_of(data)


@target(note.NoteError)
def signed_note(data: bytes) -> object:
    """Note, checkpoint, signatures and cosignatures."""
    found = note.parse_note(data)
    key = note.NoteKey(f"{HUB}/v1/log/2026", note.ED25519, PUBLIC)
    note.signed_by(found, key)
    note.cosigners(found, [key])
    return note.parse_checkpoint(found.text).text() == found.text


@target(note.NoteError)
def note_vkey(data: bytes) -> object:
    key = note.parse_vkey(text_of(data))
    assert key.text() == text_of(data)
    return note.year_of(key.name)


@target(proof.ProofError)
def log_proof(data: bytes) -> object:
    found = proof.parse_proof(data.decode(errors="replace"))
    key = note.NoteKey(found.checkpoint.origin, note.ED25519, PUBLIC)
    with contextlib.suppress(proof.ProofError):
        proof.verify_proof(found, bytes(33), key)
    return found


@target(merkle.MerkleError)
def merkle_proofs(data: bytes) -> object:
    """Two numbers of eight bytes, then hashes."""
    old, new = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big")
    hashes = [data[at : at + 32] for at in range(16, len(data), 32)]
    merkle.verify_inclusion(bytes(32), old, new, hashes, bytes(32))
    merkle.verify_consistency(old, new, hashes, bytes(32), bytes(32))
    frontier = merkle.Frontier.decode(old, data[16:])
    assert frontier.encode() == data[16:]
    return frontier.root()


@target(tlogpolicy.PolicyFileError)
def log_policy(data: bytes) -> object:
    """A policy, and its quorum with none, some and all cosignatures."""
    found = tlogpolicy.parse_policy(data)
    names = list(found.witnesses)
    assert not found.asks_quorum or not found.confirmed_by({}).quorum
    found.confirmed_by(dict.fromkeys(names[::2], 1))
    return found.confirmed_by(dict.fromkeys(names, 1))


@target(tlogpolicy.PolicyFileError)
def policy_signers(data: bytes) -> object:
    """Signers, and a policy that they must have signed: nobody did, so it must be refused."""
    head, _, policy = data.partition(b"\n-----\n")
    found = signedpolicy.parse_signers(head)
    assert 1 <= found.threshold <= len(found.keys)
    with contextlib.suppress(tlogpolicy.PolicyFileError):
        signedpolicy.signed_policy(policy, found)
        raise AssertionError("a policy that nobody signed")
    return found


@target(addcheckpoint.RequestError)
def witness_request(data: bytes) -> object:
    found = addcheckpoint.parse_request(data)
    lines = "".join(note.signature_line(s.name, s.key_id, s.blob) for s in found.note.signatures)
    assert addcheckpoint.request_bytes(found.old, found.proof, f"{found.note.text}\n{lines}") == data
    return found


@target()
def witness_answer(data: bytes) -> object:
    """The bodies of a 409 and of a 200."""
    size = addcheckpoint.parse_size(data)
    witness = note.NoteKey("witness.example.nl/w", note.COSIGNATURE_V1, PUBLIC)
    said = note.sign_checkpoint(note.Checkpoint(f"{HUB}/v1/log/2026", 3, bytes(32)), SIGNER)
    return addcheckpoint.cosignature_in(data, said, witness) is not None or size is not None


@target(tilereading.TileError)
def entries_tile(data: bytes) -> object:
    return tilereading.leaves_in(data)


@target()
def mirror_files(data: bytes) -> object:
    """The checkpoint of a mirror, then the rows of its entries, after an empty line of dashes."""
    head, _, rows = data.partition(b"\n-----\n")
    vkey = note.NoteKey(f"{HUB}/v1/log", note.ED25519, PUBLIC).text()
    policy = tlogpolicy.policy_without_witnesses(vkey)
    found = mirror.verify_mirror({"checkpoint": head}.get, {"own": rows}, policy)
    if not isinstance(found, mirror.Mirror):
        return False
    mirror.verify_officer(found, rows.splitlines(), proofs={"one": rows.decode(errors="replace")})
    return True


@target(export.ExportInvalid)
def inzage_zip(data: bytes) -> object:
    """A citizen's file as it came."""
    return export.verify_export(data)


@target(export.ExportInvalid)
def inzage_files(data: bytes) -> object:
    """What lies in such a file: lines, log ids, policy, and one proof for the first place that is named."""
    lines, lids, policy, proof_ = (*data.split(b"\n-----\n", 3), b"", b"", b"")[:4]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in ((export.LINES, lines), (export.LIDS, lids), (export.POLICY, policy)):
            archive.writestr(name, content)
        archive.writestr("proofs/2026-7.tlog-proof", proof_)
    found = export.verify_export(made.getvalue())
    assert not found.holds, "nothing here was ever in a log with a look that ends its chains"
    return found


@target(LogInconsistent)
def last_head(data: bytes) -> object:
    """The file beside the keys that says what was signed last."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last-head"
        path.write_bytes(data)
        return HeadFile(path).last()


@target()
def tile_paths(data: bytes) -> object:
    found = tiles.parse_path(text_of(data))
    if found is None:
        return False
    assert tiles.number_path(found[1]) in text_of(data)
    return True


@target(receipt.ReceiptError)
def log_receipt(data: bytes) -> object:
    try:
        found = msgspec.json.decode(data, type=messages.LogReceipt)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    vkey = note.NoteKey(f"{HUB}/v1/log", note.ED25519, PUBLIC).text()
    return receipt.verify_log_receipt(found, log_vkey=vkey, sent=None, lids=None)


@target(NotTrusted)
def signed_manifest(data: bytes) -> object:
    return parse_manifest(data, PINS)


@target(NotTrusted)
def signed_directory(data: bytes) -> object:
    return parse_directory(data, PINS, 1)


@target(http.BadBody)
def evaluate_request(data: bytes) -> object:
    """What a key holder reads before it knows who asks."""
    return evaluation.parse(data)


@target(points.PointsError)
def sealed_points(data: bytes) -> object:
    """As they came, and as what a node sealed."""
    key = PrivateKey(SEED)
    with contextlib.suppress(points.PointsError):
        points.open_points(bytes(key), data, "bron", "m", 1)
    return points.open_points(
        bytes(key), SealedBox(key.public_key).encrypt(data), "bron", "m", len(data) // 32
    )


@target(tickets.TicketRefused)
def visit_tickets(data: bytes) -> object:
    """As they came, and as a sealed plain text of the right size."""
    desk = tickets.Tickets(SEED)
    with contextlib.suppress(tickets.TicketRefused):
        desk.open("wijkteam", data)
    head = tickets._VERSION + desk._id + bytes(24)
    plain = data[: tickets._PLAIN].ljust(tickets._PLAIN, b"\0")
    return desk.open("wijkteam", head + seal_box(plain, tickets._aad("wijkteam"), bytes(24), SEED))


# --- tokens ---------------------------------------------------------------------------


def _token(data: bytes, **header: str) -> str:
    """Any bytes as the claims of a token with a good signature."""
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    return jwt.api_jws.encode(data, key, algorithm="EdDSA", headers=header)


POINT = codec.b64u(ristretto.hash_to_element(b"seed", b"vlagwijzer/test"))
CANARY = Canary(codec.b64u(canary_input("geld.e1")), POINT)
MANIFEST = Manifest(
    1,
    SUITE,
    "2026-01-01T00:00:00Z",
    [HolderEntry("kh-a", 1, "https://a", codec.b64u(PUBLIC))],
    HubEntry(HUB, [codec.b64u(PUBLIC)]),
    [ScopeKey("geld.e1", "geld", "active", False, 1, 1, [POINT], CANARY, "dealer")],
    {},
)
DIRECTORY = Directory(
    1,
    [OrganisationEntry(1, OIN, "hulpverlening", [KindEntry("schuldhulp", "Schuldhulp", "14 0123")], [])],
    [],
    [BrokerEntry("broker", codec.b64u(PUBLIC))],
    {},
)


@target(evaluate.TokenRefused)
def holder_receipt(data: bytes) -> object:
    with contextlib.suppress(evaluate.TokenRefused):
        evaluate.verify_holder_receipt(text_of(data), MANIFEST, aud=HUB, sub="bron", now=NOW)
    token = _token(data, typ=evaluate._RECEIPT_TYP, kid="kh-a")
    return evaluate.verify_holder_receipt(token, MANIFEST, aud=HUB, sub="bron", now=NOW)


@target(evaluate.TokenRefused)
def broker_grant(data: bytes) -> object:
    with contextlib.suppress(evaluate.TokenRefused):
        evaluate.verify_grant(text_of(data), DIRECTORY, sub="portaal", now=NOW)
    token = _token(data, typ=evaluate._GRANT_TYP, kid="broker")
    return evaluate.verify_grant(token, DIRECTORY, sub="portaal", now=NOW)


@target(receipt.ReceiptError)
def change_receipt(data: bytes) -> object:
    known = {
        "hub_key": PUBLIC, "hub_id": HUB, "node": "bron", "message_id": "m", "t": "publish",
        "body_digest": None, "results": [], "now": NOW,
    }  # fmt: skip
    with contextlib.suppress(receipt.ReceiptError):
        receipt.verify_change_receipt(text_of(data), **known)
    return receipt.verify_change_receipt(_token(data, typ=receipt.CHANGE_TYP, kid=HUB), **known)


@target(consent_receipt.ReceiptInvalid)
def consent_receipts(data: bytes) -> object:
    with contextlib.suppress(consent_receipt.ReceiptInvalid):
        consent_receipt.verify(text_of(data), keys={"k": PUBLIC}, issuer=HUB)
    token = _token(data, typ=consent_receipt.TYPE, kid="k")
    return consent_receipt.verify(token, keys={"k": PUBLIC}, issuer=HUB)


async def _jwks(_: httpx.Request) -> httpx.Response:
    public = jwt.algorithms.ECAlgorithm.to_jwk(LOGIN_KEY.public_key(), as_dict=True)
    return httpx.Response(200, json={"keys": [{**public, "kid": "k1", "use": "sig", "alg": "ES256"}]})


def _es256(data: bytes, typ: str) -> str:
    return jwt.api_jws.encode(data, LOGIN_KEY, algorithm="ES256", headers={"typ": typ, "kid": "k1"})


@target(NotAllowed)
def employee_token(data: bytes) -> object:
    """From a calling system, and with claims that the organisation's provider signed."""
    found = EmployeeTokens(
        TokenSettings(issuer=ISSUER, jwks_url=f"{ISSUER}/keys"),
        httpx.AsyncClient(transport=httpx.MockTransport(_jwks)),
        audience="wijkteam",
        node_secret=SEED,
        now=lambda: NOW,
    )

    async def check() -> object:
        with contextlib.suppress(NotAllowed):
            await found.check(text_of(data))
        return await found.check(_es256(data, "at+jwt"))

    return asyncio.run(check())


def _dated(data: bytes) -> bytes:
    """The same claims, living now where they do not say when: this check reads the real clock."""
    try:
        claims = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if not isinstance(claims, dict):
        return data
    now = int(datetime.now(UTC).timestamp())
    return json.dumps({"iat": now, "exp": now + 300, **claims}).encode()


@target(login.LoginFailed)
def oidc_claims(data: bytes) -> object:
    """What the provider answers: its id token, and the claims in it."""
    settings = LoginSettings(issuer=ISSUER, client_id="node")
    entry_ = login.Login(SimpleNamespace(login=settings, redirect_uri=f"{ISSUER}/terug"))  # type: ignore[arg-type]
    key = jwt.PyJWK(json.loads(asyncio.run(_jwks(httpx.Request("GET", ISSUER))).content)["keys"][0])
    entry_._provider = login._Provider({"issuer": ISSUER}, {"k1": key}, entry_._clock() + 1e9)

    async def check() -> object:
        with contextlib.suppress(login.LoginFailed):
            await entry_._checked(text_of(data), "n")
        token = _es256(_dated(data), "JWT")
        return entry_._identity(await entry_._checked(token, "n"), token)

    return asyncio.run(check())


# --- consent ---------------------------------------------------------------------------


@target(directive.DirectiveInvalid)
def ledger_entry(data: bytes) -> object:
    found, prev = directive.parse_canonical(data)
    assert directive.canonical(found, prev) == data
    return found


@target(state.StateUnreadable)
def choice_state(data: bytes) -> object:
    found = state.decode(data)
    with contextlib.suppress(state.StateFull):
        assert state.decode(state.encode(found)) == found
    return found


# --- points ----------------------------------------------------------------------------


@target(ristretto.BadElement)
def ristretto_elements(data: bytes) -> object:
    """Two implementations of our own say the same of 32 bytes, and multiplying agrees with both."""
    element = data[:32]
    said = ristretto.is_element(element)
    assert said == hub_ristretto.is_point(element)
    if len(element) == 32 and any(element):
        assert said == hub_ristretto.decodes(element)
    ristretto.multiply(ristretto.Secret.from_bytes(b"\x02" + bytes(31)), element)
    assert said
    return said


@target(ristretto.BadScalar)
def ristretto_scalars(data: bytes) -> object:
    assert ristretto.is_scalar(data[:32]) == (
        len(data[:32]) == 32
        and int.from_bytes(data[:32], "little") < 2**252 + 27742317777372353535851937790883648493
    )
    return ristretto.Secret.from_bytes(data[:32])


# --- nodes -----------------------------------------------------------------------------


@target(BadBsn)
def citizen_number(data: bytes) -> object:
    text = data.decode(errors="replace")
    bsn = Bsn.parse(text)
    assert bsn.reveal() == text
    assert holds_bsn(text)
    assert text not in mask_text(f"a {text} b")
    return True


def rules() -> Rules:
    return Rules(VOCABULARY, lambda: DIRECTORY, OIN, max_until_years=10, now=lambda: NOW)


@target(BadInput)
def csv_lists(data: bytes) -> object:
    """The first byte chooses the mapping."""
    mapping = Mapped(kind="schuldhulp") if data[:1] > b"\x7f" else Mapped()
    facts = [read for read in csv.read(data[1:], mapping) if isinstance(read, Fact)]
    checked = [rules().check(fact.item, names=names_of(mapping)) for fact in facts]
    return any(isinstance(one, Publication) for one in checked)


NUMBER = "999990019"
TODAY = NOW.date()
SOURCE_ERRORS = (BadInput, BadItems, SourceUnreachable)
ZAKEN, CATALOGI = "https://zaken.test/zaken/api/v1", "https://zaken.test/catalogi/api/v1"


@functools.cache
def _store() -> tuple[Engine, Outbox]:
    """An empty store of a node, for connectors that remember what they heard."""
    engine = open_engine(Path(tempfile.mkdtemp(prefix="vlagwijzer-fuzz-")) / "node.sqlite")
    keys = NodeKeys(signing=SEED, secret=SEED, case=SEED, storage=SEED)
    return engine, Outbox(engine, keys, "bron", batch=100, now=lambda: NOW)


@contextlib.contextmanager
def _nothing_echoed() -> Iterator[None]:
    """A refusal names a place and a rule, and no number that was in the message."""
    try:
        yield
    except SOURCE_ERRORS as error:
        parts = error.errors if isinstance(error, BadItems) else [error]
        told = f"{error!r} {error} {[getattr(one, 'field', '') for one in parts]}"
        assert NUMBER not in told
        raise


def _taken(reads: Iterable[Read]) -> bool:
    """Whether something was read; every fact is judged by the rules, which raise nothing."""
    found = list(reads)
    for read in found:
        if isinstance(read, Fact):
            rules().check(read.item)
    return bool(found)


@target(*SOURCE_ERRORS)
def istandaarden_messages(data: bytes) -> object:
    """iWmo and iJw, in a GGK envelope too; and the names of what is dropped."""
    engine, outbox = _store()
    codes = load_codes(None, VOCABULARY)
    messages_ = Messages("berichten", codes, References(SEED), outbox, engine)
    with _nothing_echoed():
        reads, _ = messages_.read(data, TODAY)
        messages_.dropped(data)
    return _taken(reads)


@target(*SOURCE_ERRORS)
def suwinet_answers(data: bytes) -> object:
    shapes = suwinet.load_shapes(None, VOCABULARY)
    with _nothing_echoed():
        reads = suwinet.read("suwi", data, shapes, References(SEED), TODAY)
        suwinet.dropped(data, shapes)
    return _taken(reads)


def zaken_api() -> list[bytes]:
    """A notification, and what a Zaken API answers after it: case, its type, state, its type, roles."""
    case = f"{ZAKEN}/zaken/1"
    said = {"kanaal": "zaken", "hoofdObject": case, "resource": "zaak", "actie": "create"}
    types = f"{CATALOGI}/zaaktypen/1"
    answers = [
        {"url": case, "zaaktype": types, "startdatum": "2026-01-01", "status": f"{ZAKEN}/statussen/1"},
        {"identificatie": "B1"},
        {"statustype": f"{CATALOGI}/statustypen/1"},
        {"isEindstatus": False},
        {
            "next": None,
            "results": [
                {
                    "betrokkeneType": "natuurlijk_persoon",
                    "omschrijvingGeneriek": "initiator",
                    "betrokkeneIdentificatie": {"inpBsn": NUMBER},
                }
            ],
        },
    ]
    return [msgspec.json.encode(one) for one in (said, *answers)]


@target(*SOURCE_ERRORS)
def zaken_answers(data: bytes) -> object:
    """The first byte chooses which of the messages of `zaken_api` is replaced by the rest."""
    parts = zaken_api()
    parts[data[0] % len(parts) if data else 0] = data[1:]
    places = ["zaken/", "zaaktypen/", "statussen/", "statustypen/", "rollen"]

    async def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        at = next((at for at, place in enumerate(places) if place in path.rpartition("/api/v1/")[2]), 0)
        return httpx.Response(200, content=parts[at + 1])

    settings = SourceSettings.model_construct(
        name="zaken", type="zgw", zaken_url=ZAKEN, catalogi_url=CATALOGI, client_id="c", timeout_seconds=1.0
    )

    async def read() -> list[Read]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            cases = Cases(
                settings,
                CaseTypes(zaaktypen={"B1": "schuldhulp"}),
                secret="secret-of-32-letters-for-the-test",
                references=References(SEED),
                engine=_store()[0],
                http=client,
                now=lambda: NOW,
            )
            return (await cases.read(parts[0])).reads

    with _nothing_echoed():
        return _taken(asyncio.run(read()))


@target(BadInput)
def excel_lists(data: bytes) -> object:
    """A workbook; the library behind it meets every damaged part."""
    return _taken(excel.read(data, Mapped(kind="schuldhulp")))


@target(BadInput)
def zaken_notifications(data: bytes) -> object:
    """What a calling system posts, and the names of what is dropped of it."""
    notification(data)
    return isinstance(zgw.dropped(data), list)


@target(http.BadBody, api.BadInput)
def node_bodies(data: bytes) -> object:
    """Every field of every body of the node API."""
    body = http.decode_body(data, dict)
    wrong: list[Any] = []
    checked = rules().check(body)
    if isinstance(checked, list):
        shown = msgspec.json.encode([(one.field, one.code, one.detail) for one in checked])
        assert len(shown) < 2_000
    api._object(body, {"clients", "purpose", "caseReference", "until"})
    api._clients(body.get("clients"), wrong)
    api._text(body, "purpose", wrong)
    api._moment(body.get("until"), wrong)
    api._reference(body, "")
    publications, retractions = api._batch_lists(body) if "publish" in body else ([], [])
    for item in publications:
        rules().check(item, place="publish[0].", kinds=frozenset({"schuldhulp"}))
    api._references(publications, retractions)
    return isinstance(checked, Publication) or not wrong


@target()
def moments(data: bytes) -> object:
    """A moment that is accepted can be compared, kept and sent on."""
    found = api._moment(data.decode(errors="replace"), [])
    if found is None:
        return False
    return found > NOW or found <= NOW


@target()
def local_reference(data: bytes) -> object:
    return not check_local_ref(data.decode(errors="replace"))


@target()
def desk_link(data: bytes) -> object:
    links = DeskLinks(60)
    links._open[_digest("l" + "A" * 32)] = (float("inf"), "m", "v1")
    return links.redeem(Employee("m", "generalist", "noord"), text_of(data)) is not None


@target()
def problems_from_others(data: bytes) -> object:
    """What hub and key holders say when they refuse."""
    pseudonymise._problem_code(data)
    response = httpx.Response(400, content=data)
    asking = SimpleNamespace(actor="m")
    hub._failure(response, asking)  # type: ignore[arg-type]
    return True


@target(msgspec.DecodeError, UnicodeDecodeError, RecursionError)
def evaluate_answer(data: bytes) -> object:
    return msgspec.json.decode(data, type=evaluate.EvaluateAnswer)


@functools.cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="vlagwijzer-fuzz-")) / secrets.token_hex(4)


@target(SettingsError, ValueError, HubSettings.wrong, NodeSettings.wrong, KeyHolderSettings.wrong)
def settings_files(data: bytes) -> object:
    """The three processes' settings; the first byte chooses."""
    path = _scratch()
    path.write_bytes(data[1:])
    kinds: list[Any] = [HubSettings, NodeSettings, KeyHolderSettings]
    return kinds[data[0] % 3].load(path) if data else False


@target(SettingsError)
def list_mapping(data: bytes) -> object:
    path = _scratch()
    path.write_bytes(data)
    return load_mapping(path)


@target(VocabularyError)
def vocabulary_file(data: bytes) -> object:
    return parse_vocabulary(data.decode(errors="replace"))


@target()
def log_masking(data: bytes) -> object:
    """What was masked once needs no second masking, and nothing else goes."""
    once = mask_text(data.decode(errors="replace"))
    assert mask_text(once) == once
    return True


@target(ValueError)
def planted_bug(data: bytes) -> object:
    """No parser of ours: a fault behind three conditions, to see that the campaign finds one."""
    text = data.decode("ascii")
    if text[:1] == "{" and "]" in text[1:8] and text[-1:] == "}":
        raise KeyError("planted")
    return False
