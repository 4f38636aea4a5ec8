"""The node's client: right answers, failing over, and nothing unverified."""

import asyncio
import json
import traceback

import msgspec
import pytest
import structlog

from index.protocol.codec import b64u, unb64u
from index.protocol.directory import Adopted, NotTrusted, encode, sign
from index.protocol.evaluate import EvaluateRequest, verify_receipts
from nodes.bsn import Bsn
from nodes.errors import HolderLied, HolderRefused, HoldersUnreachable
from nodes.oprf import ristretto, voprf
from nodes.oprf.ristretto import Secret
from nodes.pseudonymise import KeysWrong, person_input
from tests.federation_keys import KeyFederation, limits
from tests.keyholder.liars import Liar, first_group, plus_order, random_element

NUMBER = "999990019"


def person(text=NUMBER):
    return Bsn.parse(text)


def unshared(keys, scope, bsn):
    """k·H(x) with the whole key, put together from two shares outside the product's path."""
    shares = {i: keys.dealing.shares[i][f"{scope}.e1"] for i in (1, 2)}
    element = voprf.hash_to_group(person_input(scope, bsn))
    doubled = ristretto.multiply(ristretto.public_scalar(2), ristretto.multiply(shares[1], element))
    return ristretto.subtract(doubled, ristretto.multiply(shares[2], element))


def run(keys, requests, class_="lookup", **options):
    client = options.pop("client", None) or keys.pseudonymiser(options.pop("node", "wijkteam-noord"))
    return asyncio.run(client.pseudonymise(requests, class_, **options))


def values(evaluated):
    return [[p.for_sealed_points() for p in person] for person in evaluated.pseudonyms]


@pytest.fixture
def trusting(keys):
    """A client that has checked its canaries, so that a test sees its own calls only."""
    client = keys.pseudonymiser()
    asyncio.run(client.start())
    return client


def test_persons_and_scopes_come_back_in_the_order_asked(keys):
    found = run(keys, [(person(), ["zorg", "geld"]), (person(), []), (person(), ["geld"])])
    zorg, geld = (unshared(keys, scope, person()) for scope in ("zorg", "geld"))
    assert values(found) == [[zorg, geld], [], [geld]]
    assert [[p.scope for p in each] for each in found.pseudonyms] == [["zorg", "geld"], [], ["geld"]]
    assert found.version == 1


def test_every_pair_of_holders_gives_the_same_pseudonym(keys):
    found = []
    for silent in keys.holder_ids:
        keys.down(silent)
        found.append(values(run(keys, [(person(), ["geld"])])))
    assert found == [[[unshared(keys, "geld", person())]]] * 3


def test_the_receipts_pay_at_the_hub(keys):
    found = run(keys, [(person(), ["geld", "zorg"]), (person(), ["geld"])])
    paid = verify_receipts(
        found.receipts,
        keys.manifest,
        aud=keys.hub_id,
        sub="wijkteam-noord",
        class_="lookup",
        needed={"geld": 2, "zorg": 1},
        now=keys.clock(),
    )
    assert len({receipt.iss for receipt in paid}) == 2


def test_more_than_a_thousand_are_asked_in_chunks_and_keep_their_order(keys, monkeypatch):
    monkeypatch.setattr("nodes.pseudonymise.MAX_ELEMENTS", 4)
    found = run(keys, [(person(), ["geld", "zorg"]), (person(), ["zorg"])] * 4, "publish", node="portaal")
    geld, zorg = (unshared(keys, scope, person()) for scope in ("geld", "zorg"))
    assert values(found) == [[geld, zorg], [zorg]] * 4
    assert len(found.receipts) == 6


def test_nothing_asked_gives_nothing(keys):
    assert run(keys, []).pseudonyms == []


def test_one_holder_down_is_not_an_outage_and_two_are_named_as_one(keys):
    for silent in keys.holder_ids:
        keys.down(silent)
        assert values(run(keys, [(person(), ["geld"])]))
    keys.down("kh-a", "kh-c")
    with pytest.raises(HoldersUnreachable):
        run(keys, [(person(), ["geld"])])


def test_an_unreachable_key_holder_is_an_outage_and_not_bad_input(keys):
    """An outage that was answered as "invalid pseudonym" was a weakness of peers."""
    keys.down(*keys.holder_ids)
    with pytest.raises(HoldersUnreachable) as caught:
        run(keys, [(person(), ["geld"])])
    assert NUMBER not in "".join(traceback.format_exception(caught.value))


def test_a_holder_that_fails_inside_is_passed_over(keys, trusting):
    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    keys.replace("kh-b", broken)
    assert all(values(run(keys, [(person(), ["geld"])], client=trusting)) for _ in range(4))


def recorded(keys):
    """Every element that leaves the node, per request, seen at the doors of the holders."""
    sent = []
    for door in keys.doors.values():
        inner = door.handle_async_request

        async def watch(request, inner=inner):
            if request.url.path == "/v1/evaluate":
                sent.append(
                    msgspec.json.decode(request.content or await request.aread(), type=EvaluateRequest)
                )
            return await inner(request)

        door.handle_async_request = watch
    return sent


def test_the_second_try_has_fresh_blinds(keys, trusting):
    sent = recorded(keys)
    for _ in range(12):
        keys.down("kh-a")
        run(keys, [(person(), ["geld"])], client=trusting)
        trusting._later.clear()
    tries = {}
    for request in sent:
        for element in request.groups[0].blinded:
            tries.setdefault(element, set()).add(request.nonce)
    assert all(len(nonces) <= 2 for nonces in tries.values())
    assert len(tries) > 12, "at least one call must have been tried twice"


def test_equal_persons_never_look_equal_on_the_wire(keys, trusting):
    sent = recorded(keys)
    run(keys, [(person(), ["geld"])] * 5, client=trusting)
    run(keys, [(person(), ["geld"])] * 5, client=trusting)
    elements = [tuple(request.groups[0].blinded) for request in sent]
    assert len({element for group in set(elements) for element in group}) == 10


def test_what_leaves_the_node_holds_no_number_and_no_hashed_person(keys, trusting):
    sent = recorded(keys)
    found = run(keys, [(person(), ["geld"])], client=trusting)
    wire = b"".join(msgspec.json.encode(request) for request in sent)
    hidden = [voprf.hash_to_group(person_input("geld", person())), found.pseudonyms[0][0].for_sealed_points()]
    assert NUMBER.encode() not in wire
    assert not any(b64u(value).encode() in wire for value in hidden)


LIES = {
    "another key": {"secret": Secret.random()},
    "another point": {"spoil": first_group(evaluated=lambda es: [random_element(), *es[1:]])},
    "the identity": {"spoil": first_group(evaluated=lambda es: [b64u(bytes(32)), *es[1:]])},
    "a point that is not canonical": {
        "spoil": first_group(evaluated=lambda es: [b64u(b"\xff" * 32), *es[1:]])
    },
    "another order": {"spoil": first_group(evaluated=lambda es: es[::-1])},
    "one answer too few": {"spoil": first_group(evaluated=lambda es: es[:-1])},
    "one answer too many": {"spoil": first_group(evaluated=lambda es: [*es, es[0]])},
    "a scalar that is not canonical": {"spoil": first_group(proof=plus_order)},
    "a short proof": {"spoil": first_group(proof=lambda p: b64u(unb64u(p)[:-1]))},
    "a long proof": {"spoil": first_group(proof=lambda p: b64u(unb64u(p) + b"\0"))},
    "no proof": {"spoil": first_group(proof=lambda p: "")},
    "another kid": {"spoil": first_group(kid=lambda k: "zorg.e1")},
    "another version": {"spoil": lambda a, r: msgspec.structs.replace(a, version=2)},
    "another holder's name": {"spoil": lambda a, r: msgspec.structs.replace(a, holder="kh-a")},
    "no groups": {"spoil": lambda a, r: msgspec.structs.replace(a, groups=[])},
    "no answer at all": {"spoil": lambda a, r: {"anything": 1}},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_holder_that_lies_is_named_and_another_pair_answers(keys, trusting, lie):
    liar = Liar(keys, "kh-b", **LIES[lie])
    with structlog.testing.capture_logs() as events:
        for _ in range(20):
            trusting._later.clear()
            found = run(keys, [(person(), ["geld"]), (person(), ["geld"])], client=trusting)
            assert values(found) == [[unshared(keys, "geld", person())]] * 2
            if liar.seen:
                break
    alarms = [event for event in events if event["event"] == "holder_lied"]
    assert alarms
    assert {(event["holder"], event["log_level"]) for event in alarms} == {("kh-b", "critical")}


@pytest.mark.parametrize("lie", ["another key", "another point", "another version"])
def test_when_no_honest_pair_is_left_the_liar_is_named_and_nothing_comes_out(keys, trusting, lie):
    Liar(keys, "kh-b", **LIES[lie])
    keys.down("kh-a")
    with pytest.raises(HolderLied, match="kh-b") as caught:
        run(keys, [(person(), ["geld"])], client=trusting)
    assert caught.value.holder == "kh-b"


def test_a_liar_is_asked_last_from_then_on(keys, trusting):
    liar = Liar(keys, "kh-b", **LIES["another point"])
    while not liar.seen:
        run(keys, [(person(), ["geld"])], client=trusting)
    seen = len(liar.seen)
    for _ in range(10):
        run(keys, [(person(), ["geld"])], client=trusting)
    assert len(liar.seen) == seen


def test_an_answer_of_another_question_is_refused(keys, trusting):
    """A recorded honest answer does not fit a new question."""
    kept = []

    def replay(answer, _request):
        kept.append(answer)
        return kept[0]

    Liar(keys, "kh-b", spoil=replay)
    keys.down("kh-a")
    trusting._later["kh-a"] = float("inf")
    run(keys, [(person(), ["geld"])], client=trusting)
    with pytest.raises(HolderLied):
        run(keys, [(person(), ["geld"])], client=trusting)


def test_a_receipt_that_the_hub_would_refuse_is_not_passed_on(keys, trusting):
    Liar(keys, "kh-b", spoil=lambda a, r: msgspec.structs.replace(a, receipt=a.receipt[:-6] + "AAAAAA"))
    keys.down("kh-a")
    with pytest.raises(HolderRefused, match="receipt"):
        run(keys, [(person(), ["geld"])], client=trusting)


def test_an_endless_answer_is_cut_off(keys, trusting):
    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"[" * 1_000_000})

    keys.replace("kh-b", endless)
    keys.down("kh-a")
    with pytest.raises(HoldersUnreachable):
        run(keys, [(person(), ["geld"])], client=trusting)


def test_a_blind_is_erased_whatever_happens(keys, trusting, monkeypatch):
    made = []
    random = Secret.random.__func__

    def remember(cls, count=1):
        secret = random(cls, count)
        made.append(secret)
        return secret

    monkeypatch.setattr("nodes.pseudonymise.Secret.random", classmethod(remember))
    run(keys, [(person(), ["geld"])], client=trusting)
    keys.down(*keys.holder_ids)
    with pytest.raises(HoldersUnreachable):
        run(keys, [(person(), ["geld"])], client=trusting)
    assert len(made) >= 2
    assert all(set(secret._buffer.raw) == {0} for secret in made if secret.count)


def test_a_spent_quota_at_one_holder_is_passed_over_and_at_two_is_said(tmp_path):
    keys = KeyFederation(tmp_path, scopes=["geld"], daily=limits(4))
    client = keys.pseudonymiser()
    try:
        asyncio.run(client.start())
        assert values(run(keys, [(person(), ["geld"])], client=client))
        with pytest.raises(HolderRefused, match="quota-spent"):
            run(keys, [(person(), ["geld"])] * 5, client=client)
        keys.settings["kh-b"] = keys.settings["kh-b"].model_copy(update={"daily": limits(0)})
        keys.restart("kh-b")
        assert values(run(keys, [(person(), ["geld"])], client=client))
    finally:
        keys.close()


def test_a_class_that_the_directory_does_not_give_is_refused(keys):
    with pytest.raises(HolderRefused, match="not-allowed"):
        run(keys, [(person(), ["geld"])], "lookup", node="bron")
    with pytest.raises(HolderRefused, match="grant-refused"):
        run(keys, [(person(), ["geld"])], "citizen", node="portaal")
    assert run(keys, [(person(), ["geld"])], "citizen", node="portaal", grant=keys.grant()).receipts


def test_a_scope_without_a_key_is_refused(keys):
    with pytest.raises(HolderRefused, match="scope-without-key"):
        run(keys, [(person(), ["jeugd"])])


def test_a_wrong_canary_stops_before_any_person_is_evaluated(keys):
    wrong = msgspec.structs.replace(
        keys.manifest.keys[0],
        canary=msgspec.structs.replace(keys.manifest.keys[0].canary, n=random_element()),
    )
    keys.manifest = keys.signed_manifest(1, keys=[wrong, *keys.manifest.keys[1:]])
    sent = recorded(keys)
    with pytest.raises(KeysWrong, match=r"geld\.e1"):
        run(keys, [(person(), ["geld"])])
    assert {request.class_ for request in sent} == {"publish"} or {r.class_ for r in sent} == {"lookup"}
    assert all(len(group.blinded) == 1 for request in sent for group in request.groups)


def test_swapped_commitments_are_found_by_the_proofs(keys):
    """Even a manifest that all signed cannot make a wrong key pass unseen."""
    first, second = keys.manifest.keys
    swapped = [msgspec.structs.replace(first, commits=second.commits), second]
    keys.manifest = keys.signed_manifest(1, keys=swapped)
    with pytest.raises(HolderLied):
        run(keys, [(person(), ["geld"])])


def serve_next_version(keys, holders):
    following = keys.signed_manifest(2)
    for holder in holders:
        keys.settings[holder].manifest_file.write_bytes(encode(following))
        keys.restart(holder)


def test_a_new_version_is_fetched_between_calls(keys, trusting):
    serve_next_version(keys, keys.holder_ids)
    assert run(keys, [(person(), ["geld"])], client=trusting).version == 2
    assert trusting.manifest.version == 2


def test_holders_of_two_versions_are_never_combined(keys, trusting):
    serve_next_version(keys, ["kh-b"])
    keys.down("kh-a")
    with pytest.raises(HolderRefused, match="manifest-version"):
        run(keys, [(person(), ["geld"])], client=trusting)
    keys.down()
    assert values(run(keys, [(person(), ["geld"])], client=trusting))


def test_a_manifest_that_one_holder_serves_alone_is_not_adopted(keys, trusting):
    forged = sign(keys.signed_manifest(9), {"kh-b": keys.holder_keys["kh-b"]})

    async def serve(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": encode(forged)})

    keys.replace("kh-b", serve)
    with structlog.testing.capture_logs() as events:
        assert not asyncio.run(trusting.refresh())
    assert trusting.manifest.version == 1
    assert any(event["event"] == "manifest_refused" and event["holder"] == "kh-b" for event in events)


def test_an_older_manifest_is_not_taken_back(keys):
    with pytest.raises(NotTrusted):
        Adopted(keys.signed_manifest(3), keys.clock()).adopt(keys.manifest, keys.clock())


def test_one_key_and_one_process_run_the_same_code(tmp_path):
    keys = KeyFederation(tmp_path, scopes=["geld"], t=1, n=1)
    try:
        found = run(keys, [(person(), ["geld"])])
        share = keys.dealing.shares[1]["geld.e1"]
        element = voprf.hash_to_group(person_input("geld", person()))
        assert values(found) == [[ristretto.multiply(share, element)]]
        assert len(found.receipts) == 1
    finally:
        keys.close()


def test_nothing_secret_is_shown_by_anything_of_the_client(keys, trusting):
    found = run(keys, [(person(), ["geld"])], client=trusting)
    n = found.pseudonyms[0][0].for_sealed_points()
    for shown in (repr(found), repr(trusting), repr(vars(trusting))):
        assert n.hex() not in shown
        assert repr(n) not in shown
        assert NUMBER not in shown


def test_no_log_line_holds_a_number_an_element_or_a_pseudonym(keys):
    sent = recorded(keys)
    Liar(keys, "kh-c", **LIES["another key"])
    with structlog.testing.capture_logs() as events:
        client = keys.pseudonymiser()
        found = [run(keys, [(person(), ["geld", "zorg"])], client=client) for _ in range(5)]
    text = json.dumps(events, default=str)
    hidden = [NUMBER, *(element for r in sent for g in r.groups for element in g.blinded)]
    hidden += [f(p.for_sealed_points()) for e in found for p in e.pseudonyms[0] for f in (bytes.hex, b64u)]
    assert len(hidden) > 10
    assert [value for value in hidden if value in text] == []


def test_no_mock_of_the_cryptography_can_be_chosen_by_a_setting(keys, monkeypatch):
    """A setting that swapped the cryptography for a mock was a weakness of peers."""
    for name in ("MOCK", "OPRF", "INSECURE", "SODIUM", "LIBSODIUM"):
        monkeypatch.setenv(name, "1")
        monkeypatch.setenv(f"VLAGWIJZER_NODE_{name}", "1")
    assert values(run(keys, [(person(), ["geld"])])) == [[unshared(keys, "geld", person())]]
