"""The nine checks of a key holder, each by itself and in their order."""

import asyncio
import json
import secrets
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from nacl.signing import SigningKey

from index.protocol.codec import b64u, unb64u
from index.protocol.evaluate import EvaluateAnswer, issue_grant, request_bytes, verify_holder_receipt
from nodes.keyholder.errors import QuotaSpent
from nodes.keyholder.store import CounterStore
from nodes.oprf import ristretto, threshold, voprf
from nodes.oprf.ristretto import Secret
from tests.federation_keys import KeyFederation, limits

HOLDER = "kh-a"


def ask(keys, *, holder=HOLDER, to=HOLDER, node="wijkteam-noord", blinded=None, **changes):
    """One signed request; `changes` are made before signing, `after` behind the node's back."""
    after = changes.pop("after", {})
    signing_key = changes.pop("key", None) or keys.node_keys.get(node) or SigningKey.generate()
    fields = {
        "node": node,
        "version": 1,
        "class": "lookup",
        "ts": str(int(keys.clock().timestamp())),
        "nonce": secrets.token_hex(16),
        "grant": "",
        "groups": {"geld.e1": blinded if blinded is not None else elements(2)},
        **changes,
    }
    message = request_bytes(
        to,
        node=fields["node"],
        version=fields["version"],
        class_=fields["class"],
        ts=fields["ts"],
        nonce=fields["nonce"],
        grant=fields["grant"],
        groups=list(fields["groups"].items()),
    )
    body = {
        **fields,
        "groups": [{"kid": kid, "blinded": [b64u(e) for e in es]} for kid, es in fields["groups"].items()],
        "sig": b64u(signing_key.sign(message).signature),
        **after,
    }
    return post(keys, json.dumps(body).encode(), holder)


def post(keys, raw, holder=HOLDER):
    async def send():
        async with keys.new_client() as client:
            return await client.post(f"http://{holder}/v1/evaluate", content=raw)

    return asyncio.run(send())


def elements(count):
    with Secret.random(count) as blinds:
        return voprf.blind([bytes([n + 1]) for n in range(count)], blinds)


def code(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["type"].rpartition("/")[2]


def used(keys, holder=HOLDER, class_="lookup"):
    with sqlite3.connect(keys.settings[holder].database) as store:
        row = store.execute(
            "SELECT coalesce(sum(used), 0) FROM quota WHERE class = ? AND seconds = 86400", [class_]
        ).fetchone()
    return row[0]


def test_an_honest_request_is_evaluated_proven_and_receipted(keys):
    blinded = elements(3)
    response = ask(keys, blinded=blinded)
    assert response.status_code == 200
    answer = msgspec.json.decode(response.content, type=EvaluateAnswer)
    assert (answer.holder, answer.version) == (HOLDER, 1)
    (group,) = answer.groups
    public = threshold.public_key([unb64u(c) for c in keys.manifest.key("geld.e1").commits], 1)
    voprf.verify(public, blinded, [unb64u(e) for e in group.evaluated], unb64u(group.proof))
    receipt = verify_holder_receipt(
        answer.receipt, keys.manifest, aud=keys.hub_id, sub="wijkteam-noord", now=keys.clock()
    )
    assert (receipt.cls, receipt.n) == ("lookup", {"geld": 3})
    assert used(keys) == 3


def test_the_known_request_is_signed_over_the_known_bytes(shared):
    answers = json.loads((shared / "vectors/known-answers.json").read_text())
    known = answers["wire"]["evaluate"]
    message = request_bytes(
        known["holder"],
        node=known["node"],
        version=known["version"],
        class_=known["class"],
        ts=known["ts"],
        nonce=known["nonce"],
        grant=known["grant"],
        groups=[(known["kid"], [bytes.fromhex(answers["pseudonym"]["H(x)"])])],
    )
    assert message.hex() == known["message"]
    key = SigningKey(bytes.fromhex(answers["wire"]["nodeSeed"]))
    assert key.sign(message).signature.hex() == known["sig"]


# 1 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"null", b"[]", b"\xff\xfe", b"[" * 20_000, b'{"node":"' + b"x" * 70_000 + b'"}'],
)
def test_a_body_of_another_size_or_shape_is_refused_without_echo(keys, raw):
    response = post(keys, raw)
    assert response.status_code in (400, 413)
    assert b"xxxx" not in response.content
    assert used(keys) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"bsn": "999990019"},
        {"class": "curious"},
        {"version": "1"},
        {"version": 0},
        {"nonce": "0F" * 16},
        {"nonce": "0f" * 8},
        {"ts": 1790000000},
        {"ts": "-1790000000"},
        {"ts": "1790000000.5"},
        {"groups": []},
        {"groups": [{"kid": "geld.e1", "blinded": []}]},
        {"groups": [{"kid": "999990019", "blinded": ["A" * 43]}]},
        {"groups": [{"kid": "geld.e1", "blinded": ["A" * 42]}]},
        {"groups": [{"kid": "geld.e1", "blinded": ["A" * 42 + "B"]}]},
        {"groups": [{"kid": "geld.e1", "blinded": ["A" * 43]}] * 2},
        {"sig": "short"},
    ],
)
def test_a_field_of_another_form_is_refused_without_echo(keys, change):
    response = ask(keys, after=change)
    assert response.status_code == 400
    assert code(response) == "malformed-body"
    assert b"999990019" not in response.content
    assert b"AAAA" not in response.content


def test_at_most_a_thousand_elements_are_taken(keys):
    one = elements(1)
    assert ask(keys, groups={"geld.e1": one * 600, "zorg.e1": one * 401}).status_code == 400
    assert ask(keys, groups={"geld.e1": one * 1001}).status_code == 400
    assert used(keys) == 0


# 2 ---------------------------------------------------------------------------------------


def test_a_node_that_is_not_in_the_directory_is_refused(keys):
    assert code(ask(keys, node="onbekend")) == "not-signed"


def test_a_self_made_evaluation_request_is_refused(keys):
    """Without the node's key nobody can ask in its name."""
    assert code(ask(keys, key=SigningKey.generate())) == "not-signed"
    assert code(ask(keys, key=keys.node_keys["wijkteam-zuid"])) == "not-signed"


def test_a_request_signed_for_another_holder_is_refused(keys):
    assert code(ask(keys, to="kh-b")) == "not-signed"
    assert used(keys) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"class": "crisis"},
        {"version": 2},
        {"nonce": "aa" * 16},
        {"grant": "x"},
        {"node": "wijkteam-zuid"},
        {"ts": "1790000001"},
    ],
)
def test_a_request_altered_after_signing_is_refused(keys, change):
    assert code(ask(keys, after=change)) == "not-signed"


def test_elements_swapped_after_signing_are_refused(keys):
    groups = [{"kid": "geld.e1", "blinded": [b64u(e) for e in elements(2)]}]
    assert code(ask(keys, after={"groups": groups})) == "not-signed"
    moved = [{"kid": "zorg.e1", "blinded": [b64u(e) for e in elements(1)]}]
    assert code(ask(keys, blinded=elements(1), after={"groups": moved})) == "not-signed"


# 3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "status"), [(-62, 401), (-58, 200), (0, 200), (58, 200), (62, 401)])
def test_sixty_seconds_of_clock_difference_are_accepted_and_no_more(keys, seconds, status):
    response = ask(keys, ts=str(int(keys.clock().timestamp()) + seconds))
    assert response.status_code == status
    assert status == 200 or code(response) == "clock-apart"


# 4 ---------------------------------------------------------------------------------------


def test_a_captured_request_cannot_be_replayed(keys):
    """A lifetime and audience that were written and never read were a weakness of peers."""
    nonce = secrets.token_hex(16)
    assert ask(keys, nonce=nonce).status_code == 200
    assert code(ask(keys, nonce=nonce)) == "nonce-seen"
    keys.restart(HOLDER)
    assert code(ask(keys, nonce=nonce)) == "nonce-seen"
    assert used(keys) == 2


def test_another_node_may_use_the_same_nonce(keys):
    nonce = secrets.token_hex(16)
    assert ask(keys, nonce=nonce).status_code == 200
    assert ask(keys, node="bron", nonce=nonce, **{"class": "publish"}).status_code == 200


def test_a_clock_that_jumps_back_stops_evaluations_until_it_is_right(keys):
    keys.clock.shift(3600)
    assert ask(keys).status_code == 200
    keys.clock.shift(-3600)
    response = ask(keys)
    assert response.status_code == 503
    assert code(response) == "store-unavailable"
    keys.clock.shift(3600)
    assert ask(keys).status_code == 200


# 5 and 6 -----------------------------------------------------------------------------------


def test_another_version_is_refused_so_that_versions_never_mix(keys):
    assert code(ask(keys, version=2)) == "manifest-version"


def test_a_key_that_is_unknown_or_of_another_scope_or_class_is_refused(keys):
    assert code(ask(keys, groups={"geld.e2": elements(1)})) == "not-allowed"
    assert code(ask(keys, groups={"werk.e1": elements(1)})) == "not-allowed"
    assert code(ask(keys, node="wijkteam-zuid")) == "not-allowed"
    assert code(ask(keys, node="bron")) == "not-allowed"
    assert ask(keys, node="wijkteam-zuid", groups={"zorg.e1": elements(1)}).status_code == 200
    assert code(ask(keys, groups={"zorg.e1": elements(1), "geld.e2": elements(1)})) == "not-allowed"


def citizen(keys, grant, count=1, class_="citizen"):
    return ask(
        keys,
        node="portaal",
        grant=grant,
        blinded=elements(count),
        **{"class": class_},
    )


def test_a_citizen_request_without_a_grant_is_refused(keys):
    assert code(citizen(keys, "")) == "grant-refused"
    assert code(citizen(keys, "", class_="inzage")) == "grant-refused"
    assert used(keys, class_="citizen") == 0


def test_a_grant_is_spent_in_units_and_not_beyond_its_number(keys):
    grant = keys.grant(count=3)
    assert citizen(keys, grant, 2).status_code == 200
    assert code(citizen(keys, grant, 2)) == "grant-refused"
    keys.restart(HOLDER)
    assert citizen(keys, grant, 1, class_="inzage").status_code == 200
    assert code(citizen(keys, grant, 1)) == "grant-refused"
    assert citizen(keys, keys.grant(jti="ab" * 16)).status_code == 200


def test_a_grant_for_another_node_key_broker_or_time_is_refused(keys):
    now = keys.clock()
    stranger = SigningKey.generate()
    counts = {"geld.e1": 2}
    for grant in (
        keys.grant(node="wijkteam-noord"),
        keys.grant(counts={"zorg.e1": 9}),
        issue_grant("broker", stranger, node="portaal", counts=counts, jti="ab" * 16, now=now),
        issue_grant("hub", keys.broker_key, node="portaal", counts=counts, jti="ab" * 16, now=now),
        issue_grant(
            "broker",
            keys.broker_key,
            node="portaal",
            counts=counts,
            jti="ab" * 16,
            now=now.replace(year=now.year - 1),
        ),
        "not-a-token",
    ):
        assert code(citizen(keys, grant)) == "grant-refused"


def test_a_grant_in_a_class_that_needs_none_is_refused(keys):
    assert code(ask(keys, grant=keys.grant(node="wijkteam-noord"))) == "grant-refused"


# 7 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [bytes(32), b"\xff" * 32, (1).to_bytes(32, "little"), (2**255 - 18).to_bytes(32, "little")]
)
def test_identity_and_non_canonical_elements_are_refused_and_cost_nothing(keys, bad):
    assert code(ask(keys, blinded=[*elements(1), bad])) == "bad-element"
    assert used(keys) == 0


# 8 ---------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    federation = KeyFederation(tmp_path, scopes=["geld", "zorg"], daily=limits(10))
    yield federation
    federation.close()


def test_a_quota_is_exact_at_its_limit_and_survives_a_restart(small):
    assert ask(small, blinded=elements(7)).status_code == 200
    response = ask(small, blinded=elements(4))
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1
    small.restart(HOLDER)
    assert code(ask(small, blinded=elements(4))) == "quota-spent"
    assert ask(small, blinded=elements(3)).status_code == 200
    assert code(ask(small, blinded=elements(1))) == "quota-spent"
    assert used(small) == 10


def test_a_spent_lookup_quota_blocks_neither_crisis_nor_another_node(small):
    assert ask(small, blinded=elements(10)).status_code == 200
    assert ask(small).status_code == 429
    assert ask(small, **{"class": "crisis"}).status_code == 200
    assert ask(small, node="wijkteam-zuid", groups={"zorg.e1": elements(1)}).status_code == 200


def test_the_next_day_has_a_quota_of_its_own(small):
    assert ask(small, blinded=elements(10)).status_code == 200
    small.clock.shift(86_400)
    assert ask(small, blinded=elements(10)).status_code == 200


def test_a_burst_is_capped_beside_the_day(tmp_path):
    federation = KeyFederation(tmp_path, scopes=["geld"], per_minute=limits(5))
    try:
        federation.clock.shift(60 - federation.clock().timestamp() % 60)
        assert ask(federation, blinded=elements(5)).status_code == 200
        assert code(ask(federation, blinded=elements(1))) == "quota-spent"
        federation.clock.shift(60)
        assert ask(federation, blinded=elements(5)).status_code == 200
    finally:
        federation.close()


def test_a_quota_is_exact_under_concurrency_on_two_replicas(small, tmp_path):
    path = small.settings[HOLDER].database
    replicas = [CounterStore(path, daily=limits(50), per_minute=limits(1000)) for _ in range(2)]
    now = int(small.clock().timestamp())

    def reserve(n):
        try:
            replicas[n % 2].reserve(
                node="bron", class_="publish", version=1, counts={"geld.e1": 3}, grant=None, now=now
            )
        except QuotaSpent:
            return 0
        return 3

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(reserve, range(40)))
    for replica in replicas:
        replica.close()
    assert taken == 48 == used(small, class_="publish")


def test_what_was_refused_for_quota_spends_no_grant(tmp_path):
    federation = KeyFederation(tmp_path, scopes=["geld"], daily=limits(1))
    try:
        grant = federation.grant(count=9)
        assert code(citizen(federation, grant, 2)) == "quota-spent"
        with sqlite3.connect(federation.settings[HOLDER].database) as store:
            assert store.execute("SELECT count(*) FROM grant_units").fetchone() == (0,)
            assert store.execute("SELECT count(*) FROM event").fetchone() == (0,)
    finally:
        federation.close()


def test_without_its_counter_store_a_holder_evaluates_nothing(keys):
    with sqlite3.connect(keys.settings[HOLDER].database) as store:
        store.execute("DROP TABLE quota")
    response = ask(keys)
    assert response.status_code == 503
    assert code(response) == "store-unavailable"
    assert "evaluated" not in response.text.replace("Nothing was evaluated", "").replace("Evaluations", "")


# order -----------------------------------------------------------------------------------


def test_the_checks_stop_at_the_first_failure_in_their_order(keys):
    """Everything is wrong at once; mending one thing at a time uncovers the next check."""
    nonce = secrets.token_hex(16)
    assert ask(keys, nonce=nonce).status_code == 200
    wrong = {
        "to": "kh-b",
        "ts": "1790000000",
        "nonce": nonce,
        "version": 9,
        "groups": {"geld.e9": [bytes(32)]},
    }
    mended = [
        ("not-signed", {}),
        ("clock-apart", {"to": HOLDER}),
        ("nonce-seen", {"ts": str(int(keys.clock().timestamp()))}),
        ("manifest-version", {"nonce": None}),
        ("not-allowed", {"version": 1}),
        ("bad-element", {"groups": {"geld.e1": [bytes(32)]}}),
    ]
    for expected, change in mended:
        wrong.update(change)
        fresh = {**wrong, "nonce": wrong["nonce"] or secrets.token_hex(16)}
        assert code(ask(keys, **fresh)) == expected


def test_an_error_says_the_same_whatever_the_elements_are(keys):
    answers = {ask(keys, version=2, blinded=elements(n)).content for n in (1, 2, 3)}
    assert len(answers) == 1


def test_events_are_stored_without_any_element(keys):
    blinded = elements(2)
    assert ask(keys, blinded=blinded).status_code == 200
    raw = b"".join(path.read_bytes() for path in keys.settings[HOLDER].database.parent.glob("counters*"))
    assert b'"geld.e1": 2' in raw
    for element in blinded:
        assert element not in raw
        assert b64u(element).encode() not in raw


def test_the_share_is_used_and_never_shown(keys, caplog, capsys):
    share = keys.dealing.shares[1]["geld.e1"].for_key_file()
    response = ask(keys)
    shown = response.text + caplog.text + "".join(capsys.readouterr())
    for form in (share.hex(), b64u(share), repr(share)):
        assert form not in shown
    assert ristretto.multiply_base(keys.dealing.shares[1]["geld.e1"])
