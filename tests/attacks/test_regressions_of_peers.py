"""Weaknesses that were found in comparable systems, each one a test of ours under the name of its lesson.

Some of these names stand elsewhere, beside what they belong to:
`test_a_malformed_retraction_touches_nothing`, `test_batch_items_fail_alone_and_say_so`,
`test_every_error_class_has_a_problem`,
`test_an_unreachable_key_holder_is_a_503_not_a_400`, `test_one_scope_cannot_compute_another`,
`test_a_captured_request_cannot_be_replayed`.
"""

import ast
import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from nacl.signing import SigningKey

from consent.pseudonym import Pseudonym
from index.accesslog.reading import EntryFilter
from index.api_document import openapi as hub_document
from index.app import PUBLIC, RULES, open_hub
from index.keystore import KeystoreError
from index.protocol.codec import SCOPES, b64u, unb64u
from index.protocol.directory import NotTrusted, encode, parse_directory, sign
from index.protocol.entry import handle, log_id
from index.protocol.evaluate import issue_holder_receipt
from index.protocol.keyfile import KeyFileError
from index.protocol.messages import OwnLogAnswer
from index.protocol.statement import T_OF_PATH
from index.settings import HubSettings
from index.tickets import Ticket
from nodes.api import ROUTES
from nodes.api_document import openapi as node_document
from nodes.bsn import BadBsn, Bsn
from nodes.connectors import csv
from nodes.connectors.plan import apply
from nodes.employees import Employee
from nodes.errors import SettingsError
from nodes.keyholder.app import openapi_document as holder_document
from nodes.keyholder.errors import CannotStart
from nodes.keyholder.settings import KeyHolderSettings
from nodes.settings import NodeSettings
from policy.vocabulary import BASES
from tests.federation_keys import HOLDERS, KeyFederation
from tests.hub.acting import Acting, outcomes, problem
from tests.hub.world import HUB_ID, VOCABULARY, World, point
from tests.keyholder.test_checks import ask, code
from tests.node.world import BSN_A, BSN_B, NodeWorld

ROOT = Path(__file__).parents[2]
JAN = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Acting]:
    with Acting(tmp_path) as acting:
        yield acting


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[NodeWorld]:
    async with NodeWorld(tmp_path).running() as running:
        yield running
    running.keys.close()


def entries(hub: Acting) -> list[Any]:
    """All entries of the log, newest first: what was asked, by whom."""
    with hub.world.hub.reading() as connection:
        found = hub.world.hub.log_reader.entries(connection, EntryFilter()).entries
    return [entry.asker for entry in found]


# --- asking ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tickets": []},
        {"tickets": None},
        {"tickets": "*"},
        {"tickets": [None]},
        {"tickets": [{}]},
        {"organisation": "00000001234567890000"},
        {"tickets": ["*"], "all": True},
        [],
        "",
    ],
)
def test_a_malformed_question_lists_nothing(hub: Acting, body: Any) -> None:
    """There the fallback for a question without identifier listed all rows of the organisation."""
    person = hub.somebody()
    hub.allow_everything(person)
    hub.publish(hub.inkomen, hub.flag(person, "bijstand"))
    visit = hub.visit(person)

    sent = hub.run(hub.wijkteam.send("/v1/lookups", body, "lookup", **visit.statement()))

    assert problem(sent.response)[:2] == (400, "malformed-body")
    assert "bijstand" not in sent.response.text
    assert entries(hub)[0].refused == "body"


@pytest.mark.anyio
@pytest.mark.parametrize("missing", ["purpose", "caseReference"])
async def test_no_answer_without_purpose(world: NodeWorld, missing: str) -> None:
    """There nobody had to say why they looked, although the documents promised that it was checked."""
    body = {"clients": [{"bsn": BSN_A}], "purpose": "huisbezoek", "caseReference": "Z-1"}
    async with world.system(world.desk(), roles=["generalist"]) as system:
        headers = {"Authorization": f"Bearer {world.token()}"}
        for value in ("", None, "willekeurig" * 20):
            asked = {**body, missing: value}
            refused = await system.post("/v1/visits", json=asked, headers=headers)
            assert refused.status_code == 400
            assert missing in {error["location"] for error in refused.json()["errors"]}
        del body[missing]
        assert (await system.post("/v1/visits", json=body, headers=headers)).status_code == 400
    assert world.network.sent == []


def test_no_answer_without_purpose_at_the_hub_either(hub: Acting) -> None:
    """A node that leaves it out is refused as well, when it opens a visit and when it asks."""
    visit = hub.visit(hub.somebody())
    _, opened = hub.run(hub.wijkteam.tries_to_open("m-17", ["x"], purpose="", scopes=SCOPES))
    asked = hub.run(hub.wijkteam.tries_to_look(visit, purpose=""))
    assert (opened.response.status_code, asked.response.status_code) == (403, 403)


@pytest.mark.parametrize("role", ["generalist", "inkomensconsulent", "wmo_consulent"])
def test_a_role_sees_only_its_kinds(hub: Acting, role: str) -> None:
    """There every holder of the right to look saw every organisation of every person."""
    person = hub.somebody()
    hub.allow_everything(person)
    ours = hub.world.hub.directory.organisation(hub.inkomen.oin)
    kinds = [k for k in VOCABULARY.kinds if k.enabled and ours and ours.kind(k.code)]
    hub.publish(hub.inkomen, *(hub.flag(person, kind.code) for kind in kinds))
    purpose = VOCABULARY.role(role).purposes[0]

    (seen,) = hub.sees(hub.visit(person, role=role, purpose=purpose))

    of_role = {kind for basis in BASES for kind in VOCABULARY.role(role).kinds_on(basis)}
    serving = {kind.code for kind in kinds if purpose in kind.purposes}
    assert seen
    assert seen <= of_role & serving
    assert {kind.code for kind in kinds} - seen


# --- the log -----------------------------------------------------------------------------


def test_log_identifier_is_not_the_index_key(hub: Acting) -> None:
    """There the "hash" in the log was the key of the database itself."""
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "bijstand"))
    hub.sees(hub.visit(person))
    year = hub.world.clock().year
    logged = {unb64u(mark) for entry in entries(hub) for mark in entry.handles}
    assert handle(year, log_id("geld", point(person, "geld"))) in logged

    with hub.world.hub.reading() as connection:
        raw = {
            bytes(value)
            for table in ("flag", "choice_state", "relation", "directive", "handle")
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}")  # noqa: S608 - fixed names
            for value in row
            if isinstance(value, bytes)
        }
    keys = [hub.world.hub.rows.keys_of(scope, point(person, scope)) for scope in SCOPES]
    assert keys[0].idx in raw
    assert logged & raw == set()
    assert logged & {value for each in keys for value in each} == set()


def test_lookup_and_publication_meet_in_the_citizens_log(hub: Acting) -> None:
    """There two textual forms of one value kept a person's entries apart."""
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    hub.sees(hub.visit(person))

    lines = hub.own(hub.login(person), "log", OwnLogAnswer).lines

    told = {json.loads(line.asker)["t"] for line in lines if line.scope == "geld"}
    assert {"publish", "relation", "lookup"} <= told


def test_empty_and_refused_lookups_reach_the_citizen(hub: Acting) -> None:
    """There both were left out of the stream that was meant for inspection."""
    person = hub.somebody()
    visit = hub.visit(person)
    assert hub.sees(visit) == [set()]
    hub.run(hub.wijkteam.tries_to_look(visit, team="zuid"))
    hub.run(hub.wijkteam.closes(visit))
    hub.run(hub.wijkteam.tries_to_look(visit))

    lines = hub.own(hub.login(person), "log", OwnLogAnswer).lines

    looks = [json.loads(line.asker) for line in lines if line.scope == "geld"]
    assert [one["refused"] for one in looks if one["t"] == "lookup"] == ["", "ticket", "no-relation"]
    assert {one["shown"].strip("A") for one in looks if one["t"] == "lookup"} == {""}


def test_a_probe_by_a_stranger_is_logged_as_refused(hub: Acting) -> None:
    """There the entry was made before the check of ownership and looked like a normal search."""
    visit = hub.visit(hub.somebody())
    stranger = hub.world.nodes["wijkteam-twee"]

    probe = hub.run(stranger.tries_to_look(visit))

    last = entries(hub)[0]
    assert probe.response.status_code == 403
    assert (last.t, last.node, last.refused, last.handles) == ("lookup", "wijkteam-twee", "ticket", [])


def test_every_entry_names_an_employee_pseudonym(hub: Acting) -> None:
    """There only the organisation was recorded."""
    person = hub.somebody()
    visit = hub.visit(person)
    hub.sees(visit)
    hub.run(hub.wijkteam.tries_to_look(visit, team="zuid"))
    hub.run(hub.wijkteam.closes(visit))

    by_people = [entry for entry in entries(hub) if entry.t in ("relation", "lookup")]
    assert len(by_people) == 4
    assert {entry.actor for entry in by_people} == {"m-17"}
    assert hub.run(hub.wijkteam.tries_to_look(visit, actor="")).response.status_code == 403


# --- captured requests -------------------------------------------------------------------


def test_a_captured_request_expires(hub: Acting, tmp_path: Path) -> None:
    """There lifetime and audience were written into the token and never read: at hub and key holder."""
    sent = hub.run(hub.wijkteam.tries_to_look(hub.visit(hub.somebody())))
    hub.world.clock.shift(seconds=61)
    late = hub.run(hub.wijkteam.deliver(sent.path, sent.body, sent.headers))
    assert late.response.status_code == 401

    keys = KeyFederation(tmp_path / "keys", scopes=["geld"])
    old = str(int(keys.clock().timestamp()) - 61)
    assert code(ask(keys, ts=old)) == "clock-apart"
    keys.close()


@pytest.mark.anyio
async def test_no_capability_in_a_url(world: NodeWorld) -> None:
    """There token and blinding factor were query parameters, which proxies write down."""
    asked: list[httpx.URL] = []
    for door in world.keys.doors.values():
        _note(door, asked)
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    await world.allow(BSN_A)
    await world.sees(BSN_A)

    assert {path for path, _, _ in world.network.sent} <= {*T_OF_PATH, "/health", "/v1/policy"}
    assert {url.path for url in asked} <= {"/v1/evaluate", "/v1/manifest", "/health"}
    assert {url.query for url in asked} == {b""}
    for rule in (*RULES, *PUBLIC, *ROUTES):
        assert "?" not in rule.path
        assert set(re.findall(r"{(\w+)", rule.path)) <= {
            "path", "local_ref", "visit", "crisis", "dispute", "source", "inquiry",
        }  # fmt: skip


def _note(door: Any, asked: list[httpx.URL]) -> None:
    plain = door.handle_async_request

    async def noted(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        answer: httpx.Response = await plain(request)
        return answer

    door.handle_async_request = noted


def test_a_self_made_evaluation_is_refused(hub: Acting) -> None:
    """There evaluations were encrypted and not signed, so anybody could plant rows."""
    person, forger = hub.somebody(), SigningKey.generate()
    scopes = hub.visit(person).scopes
    receipts = [
        issue_holder_receipt(
            holder,
            forger,
            node="wijkteam",
            hub=HUB_ID,
            class_="lookup",
            counts=dict.fromkeys(scopes, 1),
            nonce=secrets.token_hex(16),
            now=hub.world.clock(),
        )
        for holder in HOLDERS[:2]
    ]
    before = hub.count("relation")
    _, opened = hub.run(hub.wijkteam.tries_to_open("m-17", [person], receipts=receipts))
    assert problem(opened.response)[:2] == (403, "holder-receipts")
    assert hub.count("relation") == before

    flag = hub.flag(person, "schuldhulp")
    honest, hub.bron.key = hub.bron.key, forger
    assert hub.try_to_publish(hub.bron, flag).response.status_code == 401
    hub.bron.key = honest
    assert hub.count("flag") == 0


# --- keys and trust ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["signing.key", "secret.key", "case.key", "storage.key"])
def test_a_missing_key_stops_the_process(tmp_path: Path, name: str) -> None:
    """There a new key was made without a word when the last one was gone: here at a node."""
    world = NodeWorld(tmp_path)
    settings = world.settings("bron", "source")
    path = settings.database.parent / name
    path.unlink()
    with pytest.raises(SettingsError, match=re.escape(name)):
        settings.keys()
    assert not path.exists()
    world.keys.close()


def test_a_missing_key_stops_the_process_of_hub_and_key_holder_too(tmp_path: Path) -> None:
    """The same at the two other kinds of process: named, and not made anew."""
    world = World(tmp_path)
    for path in sorted((tmp_path / "keys").iterdir()):
        content, mode = path.read_bytes(), path.stat().st_mode
        path.unlink()
        with pytest.raises((KeyFileError, KeystoreError), match=re.escape(path.name)):
            open_hub(world.settings, world.clock)
        assert not path.exists()
        path.write_bytes(content)
        path.chmod(mode)

    keys = KeyFederation(tmp_path / "holders", scopes=["geld"])
    share = keys.settings["kh-a"].shares_dir / "geld.e1.key"
    share.unlink()
    with pytest.raises(CannotStart, match=r"geld\.e1"):
        keys.restart("kh-a")
    assert not share.exists()


def test_a_client_cannot_change_another_partys_keys(hub: Acting) -> None:
    """There calls of administration came without a check of rights."""
    directory = hub.world.hub.directory
    forger = SigningKey.generate()
    nodes = [
        msgspec.structs.replace(node, ed25519=[b64u(bytes(forger.verify_key))])
        if node.id == "inkomen"
        else node
        for node in directory.nodes
    ]
    forged = sign(msgspec.structs.replace(directory, version=2, nodes=nodes), {"wijkteam": hub.wijkteam.key})
    with pytest.raises(NotTrusted):
        parse_directory(encode(forged), hub.world.settings.pins(), 2)

    for path in ("/v1/directory", "/v1/manifest", "/v1/enrolments", "/v1/receipt-keys", "/v1/policy"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = hub.run(hub.world.client.request(method, path, content=encode(forged)))
            assert answer.status_code in (404, 405)
    honest, hub.inkomen.key = hub.inkomen.key, forger
    assert hub.try_to_publish(hub.inkomen, hub.flag("x", "bijstand")).response.status_code == 401
    hub.inkomen.key = honest


def test_no_mock_can_be_chosen_by_a_setting() -> None:
    """There a mock of the cryptography could be selected by configuration."""
    suspect = re.compile(r"mock|fake|dummy|stub|insecure|debug|test|skip|disable|verify|simulat", re.I)
    for settings in (HubSettings, KeyHolderSettings, NodeSettings):
        assert [name for name in settings.model_fields if suspect.search(name)] == []
    reads_environment = [
        path.name
        for package in ("consent", "index", "nodes", "policy")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"os\.environ|os\.getenv|getenv\(", path.read_text())
    ]
    assert reads_environment
    assert {name for name in reads_environment if not name.startswith("settings")} == set()


# --- numbers and pseudonyms --------------------------------------------------------------

NOT_NUMBERS = ["not-a-bsn", "", "000000000", "12345678", "123456789", "٩٩٩٩٩٠٠١٩", f" {BSN_A}", f"{BSN_A}0"]


@pytest.mark.anyio
async def test_bad_bsn_never_leaves_the_node(world: NodeWorld) -> None:
    """There "not-a-bsn", nothing and 000000000 were accepted, and a typing error became "nothing known"."""
    source, desk = world.source(), world.desk()
    token = {"Authorization": f"Bearer {world.token()}"}
    calls = sum(door.calls for door in world.keys.doors.values())
    async with (
        world.system(source.node, kinds=["schuldhulp"]) as publishing,
        world.system(desk, roles=["generalist"]) as looking,
    ):
        for number in NOT_NUMBERS:
            flag = {"bsn": number, "kind": "schuldhulp", "localRef": "SH-1", "since": "2025-03"}
            published = await publishing.post("/v1/flags", json=flag)
            visit = {"clients": [{"bsn": number}], "purpose": "huisbezoek", "caseReference": "Z-1"}
            asked = await looking.post("/v1/visits", json=visit, headers=token)
            assert (published.status_code, asked.status_code) == (400, 400)
    rows = "".join(f"{number};schuldhulp;R-{at};2025-03\n" for at, number in enumerate(NOT_NUMBERS))
    listed = csv.plan(f"bsn;kind;local_ref;since\n{rows}".encode(), source.node.outbox, source.node.rules)
    # A list is cleaned of spaces around its cells; nothing else about a number is repaired.
    assert listed.counts["rejected"] == len(NOT_NUMBERS) - 1
    assert world.network.sent == []
    assert sum(door.calls for door in world.keys.doors.values()) == calls


@pytest.mark.anyio
async def test_one_citizen_one_encoding(world: NodeWorld) -> None:
    """There one person had three encodings, so what one client wrote another did not find."""
    others = (BSN_A[:-1], f"0{BSN_A}", f"{BSN_A} ", f"bsn:{BSN_A}", f"{BSN_A[:3]}.{BSN_A[3:6]}.{BSN_A[6:]}")
    for spelling in (*others, int(BSN_A), BSN_A.encode()):
        with pytest.raises(BadBsn):
            Bsn.parse(spelling)
    asked: list[tuple[Bsn, tuple[str, ...]]] = [(Bsn.parse(BSN_A), ("geld",))]
    at_source = await world.source().node.pseudonymiser.pseudonymise(asked, "publish")
    at_desk = await world.desk().pseudonymiser.pseudonymise(asked, "lookup")
    at_portal = await world.portal().pseudonymiser.pseudonymise(asked, "citizen", world.grant())
    values = {found.pseudonyms[0][0].for_sealed_points() for found in (at_source, at_desk, at_portal)}
    assert len(values) == 1


def test_no_process_can_ask_for_the_bsn_back() -> None:
    """There the index registered itself with the right to get the number back."""
    documents = {"hub": hub_document(), "key holder": holder_document()}
    for name, document in documents.items():
        assert "bsn" not in json.dumps(document).lower(), name
    answers = [
        schema
        for path in node_document()["paths"].values()
        for call in path.values()
        for answer in call["responses"].values()
        for schema in [json.dumps(answer)]
    ]
    assert answers
    assert [schema for schema in answers if "bsn" in schema.lower()] == []
    revealed = [
        path.relative_to(ROOT).as_posix()
        for package in ("consent", "index", "policy")
        for path in (ROOT / package).rglob("*.py")
        if ".reveal()" in path.read_text()
    ]
    assert revealed == []


def test_no_repr_prints_a_pseudonym(hub: Acting) -> None:
    """There `repr` and `str` printed the stored value."""
    n = point("Fatima", "geld")
    keys = hub.world.hub.rows.keys_of("geld", n)
    ticket = Ticket(1, 1, 1, 1, 1, bytes(16), 1, 2, {"geld": (1, keys)})
    pseudonym = Pseudonym("geld", n)
    secret = [n, *keys]
    forms = [form for value in secret for form in (repr(value), value.hex(), b64u(value))]
    for thing in (pseudonym, keys, ticket, [pseudonym], {"x": keys}, replace(ticket, until=3)):
        shown = repr(thing)
        assert [form for form in forms if form in shown] == []
    for use in (str, "{}".format, json.dumps, bytes):
        with pytest.raises((TypeError, ValueError)):
            use(pseudonym)


# --- flags -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_retraction_by_reference_really_retracts(world: NodeWorld) -> None:
    """There a label was passed where a mechanism was expected: the row stayed, and the test had a fake."""
    source = world.source()
    await world.allow(BSN_A)
    async with world.system(source.node, kinds=["schuldhulp"]) as system:
        flag = {"bsn": BSN_A, "kind": "schuldhulp", "localRef": "SH-1", "since": "2025-03"}
        await system.post("/v1/flags", json=flag)
        await source.drain()
        assert await world.sees(BSN_A) == {"schuldhulp"}
        assert _rows(world, "flag") == 1

        assert (await system.post("/v1/flags/retractions", json={"localRef": "SH-1"})).status_code == 202
        await source.drain()

    assert _rows(world, "flag") == 0
    assert await world.sees(BSN_A) == set()


@pytest.mark.anyio
async def test_the_reference_node_can_retract(world: NodeWorld) -> None:
    """There the reference publisher had no delete at all; here a row that is gone from a list is enough."""
    source = world.source()
    await world.allow(BSN_A)
    head, one = "bsn;kind;local_ref;since\n", f"{BSN_A};schuldhulp;SH-1;2025-03\n"
    other = f"{BSN_B};schuldhulp;SH-2;2025-03\n"
    for content, expected in ((head + one + other, {"schuldhulp"}), (head + other, set())):
        planned = csv.plan(content.encode(), source.node.outbox, source.node.rules)
        await apply(planned, source.node.intake, confirm_shrink=True)
        await source.drain()
        assert await world.sees(BSN_A) == expected
    assert _rows(world, "flag") == 1


def _rows(world: NodeWorld, table: str) -> int:
    hub = world.network.app.state.hub
    with hub.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar())  # noqa: S608


@pytest.mark.anyio
async def test_two_publishers_at_once_give_one_flag(world: NodeWorld) -> None:
    """There it was check, then insert: the race ended as an internal error."""
    processes = [world.source() for _ in range(4)]
    await asyncio.gather(*(process.publish(BSN_A, "SH-1") for process in processes))
    await asyncio.gather(*(process.drain() for process in processes))
    assert _rows(world, "flag") == 1
    assert processes[0].state("SH-1") == "published"
    assert await processes[0].node.sender.confirm() == []


def test_two_messages_about_one_flag_at_once_give_one_flag(hub: Acting) -> None:
    """The same race at the hub: eight messages in flight about one flag, none of them an error."""
    flag = hub.flag(hub.somebody(), "schuldhulp")
    bodies = [(f"01900000-0000-7000-8000-{at:012d}", hub.next_seq()) for at in range(8)]
    sent = hub.together(
        *(
            hub.bron.send(
                "/v1/publications",
                hub.publication(hub.bron, [flag], [seq], msg),
                "publish",
                msg=msg,
                role="bron",
            )
            for msg, seq in bodies
        )
    )
    assert {one.response.status_code for one in sent} == {200}
    assert hub.count("flag") == 1


def test_a_flag_expires_unless_confirmed(hub: Acting) -> None:
    """There rows had no kind, no period, no contact and no confirmation."""
    person, quiet = hub.somebody(), hub.flag(hub.somebody(), "schuldhulp")
    hub.allow_everything(person)
    hub.allow_everything(quiet.person)
    ended = hub.flag(person, "schuldhulp", since="2024-01", until=f"{hub.world.clock():%Y-%m}")
    assert outcomes(hub.publish(hub.bron, ended, quiet)) == ["stored", "stored"]
    assert hub.sees(hub.visit(person, quiet.person)) == [{"schuldhulp"}, {"schuldhulp"}]

    lease = VOCABULARY.limits.lease_days
    hub.world.clock.shift(days=lease, hours=1)
    assert hub.sees(hub.visit(quiet.person)) == [set()]


# --- times -------------------------------------------------------------------------------


def naive(source: str) -> list[str]:
    """Calls in a module that make a time without a zone."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, given = node.func.attr, len(node.args) + len(node.keywords)
        of = ast.unparse(node.func.value)
        if (
            (name in ("utcnow", "utcfromtimestamp", "today") and "date" in of)
            or (name == "now" and of.endswith("datetime") and not given)
            or (name == "fromtimestamp" and given < 2)
        ):
            found.append(ast.unparse(node))
    return found


def test_times_are_utc_and_aware(hub: Acting) -> None:
    """There times were local and without a zone."""
    wrong = {
        path.relative_to(ROOT).as_posix(): calls
        for package in ("consent", "deploy", "index", "nodes", "policy")
        for path in (ROOT / package).rglob("*.py")
        if (calls := naive(path.read_text()))
    }
    assert wrong == {}
    planted = "datetime.now(); datetime.utcnow(); date.today(); datetime.fromtimestamp(1)"
    assert len(naive(planted)) == 4

    answer = hub.run(hub.wijkteam.looks(hub.visit(hub.somebody()))).persons[0]
    assert answer.at.endswith("Z")
    assert abs(int(hub.world.clock().timestamp() * 1000) - entries(hub)[0].ts) < 60_000
    assert hub.world.clock().utcoffset() == timedelta(0)
