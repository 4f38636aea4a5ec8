"""What is made in one go for many entries is byte for byte what is made one by one."""

import hashlib
import hmac
import secrets

import msgspec
import pytest

from index.protocol import entry as fmt
from index.protocol.codec import b64u, jcs
from index.protocol.entry import Alike, Chain, EntryDraft, EntryError
from index.protocol.mac import mac_under
from index.protocol.merkle import Frontier, leaf_hash
from index.protocol.messages import ItemResult
from index.protocol.receipt import results_digest
from index.publish import _all_bytes32


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 255, 256, 300])
@pytest.mark.parametrize("more", [1, 2, 5, 64, 257, 700])
def test_many_leaves_at_once_give_the_tree_of_one_by_one(size: int, more: int) -> None:
    hashes = [leaf_hash(n.to_bytes(33, "big")) for n in range(size + more)]
    single, bulk = Frontier(), Frontier()
    for one in hashes[:size]:
        single.append(one)
    bulk.extend(hashes[:size])
    made = {}
    for one in hashes[size:]:
        made |= single.append(one)

    assert bulk.extend(hashes[size:]) == made
    assert (bulk.size, bulk.encode(), bulk.root()) == (single.size, single.encode(), single.root())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_asker_part_of_alike_entries_is_that_of_each(count: int) -> None:
    draft = EntryDraft(t="publish", ts=7, req="r", shown=b"\x04", refused="stale")
    handles = [secrets.token_bytes(16) for _ in range(count)]

    assert Alike(draft).asker(handles) == fmt.asker_part(draft, handles)


def test_alike_entries_with_a_field_of_a_wrong_form_are_refused() -> None:
    with pytest.raises(EntryError):
        Alike(EntryDraft(t="publish", ts=7, req="r", refused='"'))


@pytest.mark.parametrize("subject", [(1, -1), (2, 0), (2**40, 2**50)])
def test_the_chain_part_of_one_line_is_the_encoded_one(subject: tuple[int, int]) -> None:
    assert fmt.chain_part([subject]) == msgspec.json.encode(Chain(subj=[subject]))


@pytest.mark.parametrize("subject", [(1, -2), (2**53, 0), (1, 2**53)])
def test_a_number_out_of_range_is_refused_for_one_line_too(subject: tuple[int, int]) -> None:
    with pytest.raises(EntryError):
        fmt.chain_part([subject])


@pytest.mark.parametrize("size", [0, 1, 55, 64, 200])
def test_the_repeated_mac_is_the_library_one(size: int) -> None:
    key, message = secrets.token_bytes(32), secrets.token_bytes(size)

    assert mac_under(key)(message) == hmac.digest(key, message, "sha256")


def test_a_key_longer_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        mac_under(bytes(65))


@pytest.mark.parametrize("code", ["", "stale", "other-person", 'a"b', "é", "a\n", "\x7f", "A"])
def test_the_digest_of_results_is_over_their_canonical_form(code: str) -> None:
    results = [ItemResult(seq=1, outcome="stored"), ItemResult(seq=2**53 - 1, outcome="refused", code=code)]
    rows = [[one.seq, one.outcome, one.code] for one in results]

    assert results_digest(results) == b64u(hashlib.sha256(b"vlagwijzer/results/v1\n" + jcs(rows)).digest())


def test_tags_decoded_together_are_those_decoded_singly() -> None:
    good = [b64u(secrets.token_bytes(32)) for _ in range(50)]
    assert [b64u(tag or b"") for tag in _all_bytes32(good)] == good
    last = next(c for c in "BCDEFGH" if c != good[0][-1])
    for bad in ("", "A" * 42, "A" * 44, "A" * 42 + last, "A" * 42 + "\n", "=" * 43):
        found = _all_bytes32([good[0], bad, good[1]])
        assert found[1] is None
        assert [b64u(tag or b"") for tag in (found[0], found[2])] == good[:2]
