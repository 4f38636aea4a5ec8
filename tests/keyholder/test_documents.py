"""Manifest and directory: nothing is trusted that the pinned holders did not sign."""

import msgspec
import pytest
from nacl.signing import SigningKey

from index.protocol.codec import b64u, unb64u
from index.protocol.directory import (
    Adopted,
    HolderEntry,
    NotTrusted,
    encode,
    parse_directory,
    parse_manifest,
    sign,
)

replace = msgspec.structs.replace


def parsed(keys, manifest, pins=None):
    return parse_manifest(encode(manifest), pins or keys.pins)


def test_a_manifest_signed_by_all_holders_is_trusted(keys):
    manifest = parsed(keys, keys.manifest)
    assert manifest == keys.manifest
    assert manifest.scope_key("geld").kid == "geld.e1"
    assert manifest.scope_key("werk") is None
    assert manifest.origin == "dealer"


def test_the_key_order_of_the_served_json_does_not_matter(keys):
    fields = msgspec.json.decode(encode(keys.manifest))
    turned = msgspec.json.encode(dict(reversed(fields.items())))
    assert parse_manifest(turned, keys.pins) == keys.manifest


def test_a_manifest_that_lacks_one_signature_is_refused(keys):
    for holder in keys.holder_ids:
        sigs = {name: sig for name, sig in keys.manifest.sigs.items() if name != holder}
        with pytest.raises(NotTrusted, match="every listed holder"):
            parsed(keys, replace(keys.manifest, sigs=sigs))


def test_a_manifest_changed_after_signing_is_refused(keys):
    other = keys.manifest.keys[0]
    for forged in (
        replace(keys.manifest, version=2),
        replace(keys.manifest, keys=[replace(other, commits=other.commits[::-1]), *keys.manifest.keys[1:]]),
        replace(keys.manifest, keys=[replace(other, origin="ceremony"), *keys.manifest.keys[1:]]),
        replace(keys.manifest, hub=replace(keys.manifest.hub, x25519=[b64u(b"h" * 32)])),
    ):
        with pytest.raises(NotTrusted, match="every listed holder"):
            parsed(keys, forged)


def test_a_manifest_with_a_holder_that_is_not_pinned_is_refused(keys):
    """The hub cannot bring in a key that it knows."""
    stranger = SigningKey.generate()
    entry = HolderEntry("kh-d", 4, "http://kh-d", b64u(bytes(stranger.verify_key)))
    keys_of_three = [replace(key, n=4) for key in keys.manifest.keys]
    grown = replace(keys.manifest, holders=[*keys.manifest.holders, entry], keys=keys_of_three)
    signed = sign(grown, {**keys.holder_keys, "kh-d": stranger})
    with pytest.raises(NotTrusted, match="not pinned"):
        parsed(keys, signed)


def test_a_manifest_of_other_keys_under_the_pinned_names_is_refused(keys):
    impostors = {holder: SigningKey.generate() for holder in keys.holder_ids}
    entries = [replace(h, ed25519=b64u(bytes(impostors[h.id].verify_key))) for h in keys.manifest.holders]
    with pytest.raises(NotTrusted, match="not pinned"):
        parsed(keys, sign(replace(keys.manifest, holders=entries), impostors))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: {"holders": [replace(h, index=1) for h in m.holders]},
        lambda m: {"holders": [m.holders[0], m.holders[0], m.holders[2]]},
        lambda m: {"keys": [replace(m.keys[0], t=3), *m.keys[1:]]},
        lambda m: {"keys": [replace(m.keys[0], t=1), *m.keys[1:]]},
        lambda m: {"keys": [replace(m.keys[0], n=2), *m.keys[1:]]},
        lambda m: {"keys": [m.keys[0], m.keys[0]]},
        lambda m: {"keys": [m.keys[0], replace(m.keys[1], scope="geld")]},
        lambda m: {"keys": [m.keys[0], replace(m.keys[0], kid="geld.e2")]},
        lambda m: {"keys": [replace(m.keys[0], commits=[b64u(bytes(32)), m.keys[0].commits[1]])]},
        lambda m: {"keys": [replace(m.keys[0], canary=m.keys[1].canary)]},
        lambda m: {"keys": [replace(m.keys[0], canary=replace(m.keys[0].canary, n=b64u(bytes(32))))]},
        lambda m: {"not_before": "2026-99-01T00:00:00Z"},
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused_even_when_all_signed_it(keys, change):
    broken = sign(replace(keys.manifest, **change(keys.manifest)), keys.holder_keys)
    with pytest.raises(NotTrusted):
        parsed(keys, broken)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 5000, b'{"version":1}'])
def test_what_is_no_manifest_or_directory_is_refused(keys, raw):
    with pytest.raises(NotTrusted):
        parse_manifest(raw, keys.pins)
    with pytest.raises(NotTrusted):
        parse_directory(raw, keys.pins, 2)


def test_a_field_that_nobody_knows_is_refused(keys):
    fields = msgspec.json.decode(encode(keys.manifest))
    with pytest.raises(NotTrusted):
        parse_manifest(msgspec.json.encode({**fields, "extra": 1}), keys.pins)


def test_the_version_only_rises(keys):
    adopted = Adopted(keys.signed_manifest(5), keys.clock())
    with pytest.raises(NotTrusted, match="lower version"):
        adopted.adopt(keys.signed_manifest(4), keys.clock())
    assert adopted.current.version == 5
    assert adopted.adopt(keys.signed_manifest(6), keys.clock())
    assert adopted.current.version == 6


def test_another_content_under_the_same_version_is_refused(keys):
    adopted = Adopted(keys.manifest, keys.clock())
    assert not adopted.adopt(keys.signed_manifest(1), keys.clock())
    with pytest.raises(NotTrusted, match="another content"):
        adopted.adopt(keys.signed_manifest(1, not_before="2026-02-01T00:00:00Z"), keys.clock())


def test_a_manifest_is_not_adopted_before_its_time(keys):
    adopted = Adopted(keys.manifest, keys.clock())
    with pytest.raises(NotTrusted, match="not in force yet"):
        adopted.adopt(keys.signed_manifest(2, not_before="2036-01-01T00:00:00Z"), keys.clock())
    assert adopted.current.version == 1


def test_a_directory_needs_t_holders(keys):
    raw = encode(keys.directory)
    directory = parse_directory(raw, keys.pins, 2)
    assert directory.node("wijkteam-noord").number == 2
    assert directory.node_by_number(2).id == "wijkteam-noord"
    assert directory.organisation_of(directory.node("bron")).class_ == "schuldhulp"
    assert directory.team(directory.node("wijkteam-noord").oin, "team-zuid").number == 2
    assert directory.node("onbekend") is directory.team("0" * 20, "x") is None
    first = dict([next(iter(keys.directory.sigs.items()))])
    with pytest.raises(NotTrusted, match="2 key holders"):
        parse_directory(encode(replace(keys.directory, sigs=first)), keys.pins, 2)
    stranger = SigningKey.generate()
    forged = sign(keys.directory, {"kh-a": stranger, "kh-b": stranger, "hub": stranger})
    with pytest.raises(NotTrusted):
        parse_directory(encode(forged), keys.pins, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {"nodes": [d.nodes[0], replace(d.nodes[1], number=1)]},
        lambda d: {"nodes": [d.nodes[0], replace(d.nodes[1], id=d.nodes[0].id)]},
        lambda d: {"nodes": [d.nodes[0], replace(d.nodes[1], ed25519=d.nodes[0].ed25519)]},
        lambda d: {"nodes": [replace(d.nodes[0], oin="9" * 20)]},
        lambda d: {"nodes": [replace(d.nodes[0], id="999990019")]},
        lambda d: {"organisations": [d.organisations[0], replace(d.organisations[1], number=1)]},
        lambda d: {"organisations": [*d.organisations, replace(d.organisations[0], number=9)]},
    ],
)
def test_a_directory_that_breaks_a_rule_is_refused_even_when_all_signed_it(keys, change):
    broken = sign(replace(keys.directory, **change(keys.directory)), keys.holder_keys)
    with pytest.raises(NotTrusted):
        parse_directory(encode(broken), keys.pins, 2)


def test_one_holder_can_bring_its_signature_to_another(keys):
    """Signing is over the document without `sigs`, so signatures can be made one by one."""
    alone = [sign(keys.manifest, {holder: key}) for holder, key in keys.holder_keys.items()]
    together = {name: sig for document in alone for name, sig in document.sigs.items()}
    assert parsed(keys, replace(keys.manifest, sigs=together)) == keys.manifest
    assert unb64u(together["kh-a"], 64)
