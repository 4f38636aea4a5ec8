"""The corpus: what each parser accepts, made from the public vectors and the product's own encoders.

`python -m tests.fuzz.seeds` writes `tests/fuzz/corpus/<target>/*`; it always writes the same.
"""

import base64
import hashlib
import io
import json
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from consent import receipt as consent_receipt
from consent.directive import Directive, canonical
from consent.state import encode, fold
from index.protocol import addcheckpoint, entry, evaluate, receipt
from index.protocol.codec import b64u, u64
from index.protocol.directory import encode as encode_document
from index.protocol.directory import sign
from index.protocol.export import policy_text
from index.protocol.merkle import EMPTY_ROOT, leaf_hash
from index.protocol.note import (
    COSIGNATURE_V1,
    Checkpoint,
    cosigned_bytes,
    key_id,
    sign_checkpoint,
    signature_line,
)
from index.protocol.points import plain_points
from index.protocol.proof import make_proof
from index.tickets import _HEAD
from nodes.oprf import ristretto

from .targets import BODIES, DIRECTORY, HUB, ISSUER, MANIFEST, NOW, PUBLIC, SEED, SIGNER, zaken_api

CORPUS = Path(__file__).parent / "corpus"
SHARED = Path(__file__).parents[3] / "shared" / "vectors"
JTI = "0f" * 16
ITEM = {"bsn": "999990019", "kind": "schuldhulp", "localRef": "SH-1", "since": "2025-03"}


def seeds() -> dict[str, list[bytes]]:
    """Bytes by target; every target has at least one that it accepts."""
    answers = json.loads((SHARED / "known-answers.json").read_text())
    cosigned = json.loads((SHARED / "log" / "cosigned.json").read_text())
    said = answers["wire"]["request"]["statement(utf-8)"].encode()
    signature = bytes.fromhex(answers["wire"]["request"]["nodeSig"])
    element = ristretto.hash_to_element(b"seed", b"vlagwijzer/test")
    now = int(NOW.timestamp())
    return {
        "statement_headers": [f"{b64u(said)}\n{b64u(signature)}".encode()],
        "statement_json": [said],
        "base64url": [b64u(bytes(range(33))).encode()],
        "canonical_json": [said, b'{"a":[1,true,"x"]}'],
        "hub_bodies": _bodies(element),
        "hub_answers": _answers(said),
        "json_depth": [said, b"[" * 32 + b"]" * 32, b"[" * 33 + b"]" * 33, b'["\\"[{",{"a":"\\\\"}]'],
        "entry_asker": [_asker(said)],
        "entry_chain": [
            entry.chain_part([(1, -1), (4, 77)], bytes(38)),
            answers["leaf"]["chain(utf-8)"].encode(),
        ],
        "entry_plain": [
            entry.plain_of(entry.Opened(SEED, SEED, SEED, _asker(said), b'{"subj":[]}'), "lookup")
        ],
        "entry_decisions": [entry.decision_bytes(SEED, [(1, 2, 3), (0, 0, 0)])],
        "signed_note": [cosigned["checkpoint"].encode()],
        "note_vkey": [cosigned["log_vkey"].encode(), cosigned["witness_vkeys"][0].encode()],
        "log_proof": [cosigned["proof_index7"].encode()],
        "merkle_proofs": [
            u64(5) + u64(9) + SEED * 2,
            u64(70) + u64(300) + b"".join(base64.b64decode(one) for one in cosigned["consistency_70_300"]),
        ],
        "log_policy": [
            f"log {cosigned['log_vkey']}\n".encode()
            + b"".join(f"witness w{at} {key}\n".encode() for at, key in enumerate(cosigned["witness_vkeys"]))
            + b"group g 2 w0 w1 w2\nquorum g\n",
        ],
        "policy_signers": [
            f"threshold 1\nsigner {cosigned['log_vkey']}\n".encode()
            + f"-----\nlog {cosigned['log_vkey']}\nquorum none\n".encode(),
        ],
        "witness_request": [
            addcheckpoint.request_bytes(70, [SEED, SEED], cosigned["checkpoint"]),
            addcheckpoint.request_bytes(0, [], cosigned["checkpoint"]),
        ],
        "witness_answer": [b"300\n", _cosignature()],
        "entries_tile": [b"\x00\x21" + b"\x01" + SEED],
        "mirror_files": [_empty_log() + b"\n-----\n{}\n"],
        "inzage_zip": [_inzage(cosigned["log_vkey"])],
        "inzage_files": [
            b'{"year":2026,"index":7,"salt":"","saltA":"","saltB":"","asker":"{}","chain":"{}"}\n-----\n'
            + f'{{"geld":["{b64u(bytes(16))}"]}}\n-----\nlog {cosigned["log_vkey"]}\nquorum none\n'.encode()
            + b"\n-----\n"
            + cosigned["proof_index7"].encode(),
        ],
        "last_head": [_head_file()],
        "tile_paths": [b"0/x001/x234/067.p/5", b"entries/000", b"8/003"],
        "log_receipt": [_log_receipt(_asker(said))],
        "signed_manifest": [encode_document(sign(MANIFEST, {"kh-a": SIGNER}))],
        "signed_directory": [encode_document(sign(DIRECTORY, {"kh-a": SIGNER}))],
        "evaluate_request": [_evaluate(element)],
        "evaluate_answer": [
            msgspec.json.encode(
                evaluate.EvaluateAnswer(
                    "kh-a", 1, [evaluate.EvaluatedGroup("geld.e1", [b64u(element)], "AA")], "x"
                )
            )
        ],
        "sealed_points": [plain_points("bron", "m", [element])],
        "visit_tickets": [_HEAD.pack(1, 2, 3, 4, 1, bytes(16), now, now + 60, 3)],
        "holder_receipt": [
            _claims(
                iss="kh-a", aud=HUB, sub="bron", iat=now, exp=now + 60, jti=JTI, n={"geld": 1}, cls="publish"
            ),
            evaluate.issue_holder_receipt(
                "kh-a", SIGNER, node="bron", hub=HUB, class_="publish", counts={"geld": 1}, nonce=JTI, now=NOW
            ).encode(),
        ],
        "broker_grant": [
            _claims(
                iss="broker",
                aud="keyholders",
                sub="portaal",
                iat=now,
                exp=now + 60,
                jti=JTI,
                n={"geld.e1": 1},
            ),
            evaluate.issue_grant(
                "broker", SIGNER, node="portaal", counts={"geld.e1": 1}, jti=JTI, now=NOW
            ).encode(),
        ],
        "change_receipt": [_change(said)],
        "consent_receipts": _consent(),
        "employee_token": [
            _claims(
                iss=ISSUER,
                aud="wijkteam",
                sub="jan",
                iat=now,
                exp=now + 300,
                jti=JTI,
                roles=["generalist"],
                team="noord",
            )
        ],
        "oidc_claims": [_claims(iss=ISSUER, aud="node", sub="jan", nonce="n", roles=["a"])],
        "ledger_entry": [canonical(_directive(1), bytes(32)), canonical(_directive(2, "withdraw"), SEED)],
        "choice_state": [encode(fold(fold(None, _directive(1)), _directive(2, "deny")))],
        "ristretto_elements": [element, bytes(32), b"\x01" + bytes(31)],
        "ristretto_scalars": [b"\x02" + bytes(31), (ristretto.ORDER - 1).to_bytes(32, "little")],
        "citizen_number": [b"999990019", b"99999001", b"999 990 019"],
        "csv_lists": [
            b"\x00bsn;kind;local_ref;since;until\r\n999990019;schuldhulp;SH-1;2025-03;\r\n",
            b'\xffbsn,eigen_kenmerk,sinds\n"999990019","SH-2",01-03-2025\n',
        ],
        "istandaarden_messages": [
            _istandaard("301", _GRANTED),
            _istandaard("302", "<b:RetourCode>0200</b:RetourCode>"),
            _istandaard("307", _ENDED),
            _envelope(_istandaard("301", _GRANTED)),
        ],
        "suwinet_answers": [_SUWINET],
        "zaken_answers": [bytes([at]) + one for at, one in enumerate(zaken_api())],
        "zaken_notifications": [zaken_api()[0]],
        "excel_lists": [_workbook()],
        "node_bodies": [
            json.dumps(body).encode()
            for body in (
                ITEM,
                {"publish": [ITEM], "retract": [{"localRef": "SH-1"}]},
                {
                    "clients": [{"bsn": "999990019"}],
                    "purpose": "huisbezoek",
                    "caseReference": "Z",
                    "until": "2026-12-24",
                },
                {"localRef": "SH-1"},
            )
        ],
        "moments": [b"2026-12-24", b"2026-12-24T10:00:00+01:00", b"0001-01-01T00:00:00+23:59", b"9999-12-31"],
        "local_reference": [b"SH-1", "zaak \u00e9".encode()],
        "desk_link": [b"l" + b"A" * 32],
        "problems_from_others": [b'{"type":"https://x/problems/over-rate","status":429}'],
        "settings_files": [_settings()],
        "list_mapping": [
            b'kind = "schuldhulp"\n[columns]\nbsn = ["burgerservicenummer"]\n[kinds]\nSHV = "schuldhulp"\n'
        ],
        "vocabulary_file": [_vocabulary()],
        "log_masking": [b"bsn=999990019 en 9999.90.019 %39%39%39%39%39%30%30%31%39"],
    }


_GRANTED = (
    "<b:ToegewezenProduct><b:ToewijzingNummer>77</b:ToewijzingNummer><b:Ingangsdatum>2026-01-01"
    "</b:Ingangsdatum><b:Einddatum>2027-06-30</b:Einddatum></b:ToegewezenProduct>"
)
_ENDED = (
    "<b:StopProduct><b:ToewijzingNummer>77</b:ToewijzingNummer><b:StatusAanlevering>1</b:StatusAanlevering>"
    "<b:Einddatum>2026-03-31</b:Einddatum><b:RedenBeeindiging>19</b:RedenBeeindiging></b:StopProduct>"
)
_SUWINET = (
    b"<s:InkomstenverhoudingInfoResponse xmlns:s='urn:s'><s:ClientSuwi><s:Burgerservicenr>999990019"
    b"</s:Burgerservicenr><s:Inkomstenperiode><s:CdSrtIkv>33</s:CdSrtIkv><s:DatBIkp>20260101</s:DatBIkp>"
    b"</s:Inkomstenperiode></s:ClientSuwi></s:InkomstenverhoudingInfoResponse>"
)


def _istandaard(number: str, product: str) -> bytes:
    return (
        f"<b:Bericht xmlns:b='http://www.istandaarden.nl/iwmo/3_2/wmo{number}/schema'><b:Header>"
        "<b:Afzender>0384</b:Afzender><b:Ontvanger>98026987</b:Ontvanger><b:BerichtIdentificatie>"
        "<b:Identificatie>1</b:Identificatie><b:Dagtekening>2026-01-05</b:Dagtekening>"
        "</b:BerichtIdentificatie></b:Header><b:Client><b:Bsn>999990019</b:Bsn><b:Naam>Jansen</b:Naam>"
        f"{product}</b:Client></b:Bericht>"
    ).encode()


def _envelope(inner: bytes) -> bytes:
    return (
        "<g:envelop xmlns:g='http://www.stufstandaarden.nl/sectormodel/ggk/0210'><g:stuurgegevens>"
        "<g:functie>WMO301</g:functie></g:stuurgegevens><g:parameters><g:bericht>"
        f"{base64.b64encode(inner).decode()}</g:bericht></g:parameters></g:envelop>"
    ).encode()


def _workbook() -> bytes:
    """The least that is a workbook, with fixed times, so that it is the same each time it is made."""
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    office = "http://schemas.openxmlformats.org"
    sheet = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in row) + "</row>"
        for row in (("bsn", "local_ref", "since"), ("999990019", "SH-1", "2025-03"))
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kinds}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>'
        "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{office}/spreadsheetml/2006/main" '
        f'xmlns:r="{office}/officeDocument/2006/relationships"><sheets>'
        '<sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{office}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument/2006/relationships/worksheet" '
        'Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{office}/spreadsheetml/2006/main">'
        f"<sheetData>{sheet}</sheetData></worksheet>",
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as packed:
        for name, text in parts.items():
            packed.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text)
    return made.getvalue()


def _claims(**claims: Any) -> bytes:
    return msgspec.json.encode(claims)


def _bodies(element: bytes) -> list[bytes]:
    ticket, sum_ = b64u(bytes(813)), b64u(bytes(32))
    made: dict[str, Any] = {
        "PublicationRequest": {
            "version": 1, "points": b64u(element),
            "items": [{"seq": 1, "rtag": sum_, "kind": "schuldhulp", "since": "2025-03", "until": None}],
        },
        "RetractionRequest": {"items": [{"seq": 1, "secret": sum_}]},
        "ConfirmationRequest": {"buckets": [{"count": 0, "sum": "AA"}] * 256},
        "ReconciliationRequest": {"bucket": 7, "held": [{"rtag": sum_, "seq": 1}]},
        "RelationRequest": {
            "class": "lookup", "persons": 1, "scopes": ["geld"], "until": "2026-12-24T10:00:00Z",
            "version": 1, "points": b64u(element), "receipts": ["x.y.z"],
        },
        "ClosingRequest": {"tickets": [ticket]},
        "RenewalRequest": {"tickets": [ticket], "until": "2026-12-24T10:00:00Z"},
        "LookupRequest": {"tickets": [ticket], "detail": "presence"},
        "CitizenRequest": {"ticket": ticket},
        "ChoiceRequest": {
            "ticket": ticket, "version": 1, "points": b64u(element), "group": b64u(bytes(16)), "text": sum_,
            "regime": "zelf", "by": "zelf",
            "entries": [{"scope": "geld", "effect": "grant", "category": ["geld"], "explicit": True}],
        },
    }  # fmt: skip
    return [
        bytes([at]) + msgspec.json.encode(made[kind.__name__])
        for at, kind in enumerate(BODIES)
        if kind.__name__ in made
    ]


def _answers(said: bytes) -> list[bytes]:
    log = {"index": 1, "salt": "AA", "saltA": "AA", "partB": "AA", "asker": said.decode(), "proof": ""}
    results = [{"seq": 1, "outcome": "stored"}]
    return [
        b"\x02" + msgspec.json.encode({"results": results, "receipt": "x", "log": [log]}),
        b"\x01" + msgspec.json.encode({"tickets": ["AA"], "until": "2026-12-24T10:00:00Z", "log": [log]}),
    ]


def _inzage(vkey: str) -> bytes:
    """A citizen's file without a line; its time is fixed, so that it is always the same."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in (("lines.jsonl", ""), ("lids.json", "{}"), ("policy.txt", policy_text(vkey))):
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 22, 12, 0, 0)), content)
    return made.getvalue()


def _head_file() -> bytes:
    body = struct.pack(">HQ32s", 2026, 300, SEED)
    return body + hashlib.sha256(body).digest()


def _cosignature() -> bytes:
    """What the witness of the target `witness_answer` says of the checkpoint it is asked about."""
    text = Checkpoint(f"{HUB}/v1/log/2026", 3, bytes(32)).text()
    name, at = "witness.example.nl/w", int(NOW.timestamp())
    blob = u64(at) + SIGNER.sign(cosigned_bytes(text, at)).signature
    return signature_line(name, key_id(name, COSIGNATURE_V1, PUBLIC), blob).encode()


def _empty_log() -> bytes:
    return sign_checkpoint(Checkpoint(f"{HUB}/v1/log/2026", 0, EMPTY_ROOT), SIGNER).encode()


def _asker(said: bytes) -> bytes:
    from index.protocol.statement import Statement

    draft = entry.EntryDraft(
        t="lookup",
        ts=int(NOW.timestamp() * 1000),
        req="019a0000-0000-7000-8000-000000000001",
        statement=msgspec.json.decode(said, type=Statement),
        signature=bytes(64),
        lids=(bytes(16),),
    )
    return entry.asker_part(draft, [bytes(16)])


def _log_receipt(asker: bytes) -> bytes:
    """The only entry of a log that the corpus' key signed."""
    part = b64u(bytes(32))
    leaf = entry.leaf_from_parts(bytes(32), entry.part_a(bytes(32), asker), bytes(32))
    signed = sign_checkpoint(Checkpoint(f"{HUB}/v1/log/2026", 1, leaf_hash(leaf)), SIGNER)
    proof = make_proof(0, [], signed)
    return msgspec.json.encode(
        {"index": 0, "salt": part, "saltA": part, "partB": part, "asker": asker.decode(), "proof": proof}
    )


def _evaluate(element: bytes) -> bytes:
    return msgspec.json.encode(
        evaluate.EvaluateRequest(
            node="bron", version=1, class_="publish", ts=str(int(NOW.timestamp())), nonce=JTI, grant="",
            groups=[evaluate.Group("geld.e1", [b64u(element)])], sig=b64u(bytes(64)),
        )
    )  # fmt: skip


def _change(said: bytes) -> bytes:
    from nacl.signing import SigningKey

    from index.protocol.statement import Signed, Statement

    spoken = msgspec.structs.replace(
        msgspec.json.decode(said, type=Statement), node="bron", msg="m", t="publish"
    )
    token = receipt.issue_change_receipt(
        SigningKey(SEED), hub_id=HUB, sent=Signed(spoken, b"", b""), results=[], jti=bytes(16), size=7,
        root=bytes(32), now=NOW,
    )  # fmt: skip
    return base64.urlsafe_b64decode(token.split(".")[1] + "==")


def _consent() -> list[bytes]:
    token = consent_receipt.issue(
        SEED, kid="k", issuer=HUB, controller="x", record=bytes(16), subject=bytes(16), at=NOW,
        entries=[("geld", _directive(1), bytes(32))],
    )  # fmt: skip
    return [base64.urlsafe_b64decode(token.split(".")[1] + "=="), token.encode()]


def _directive(number: int, effect: Any = "grant") -> Directive:
    return Directive(
        number=number, group=bytes([number] * 16), effect=effect, category=("geld", "schuldhulp"),
        receiver=("00000001001234567000", "noord"), purpose=("hulp",),
        from_=datetime(2026, 6, 1, tzinfo=UTC), explicit=True,
        withdraws=bytes([1] * 16) if effect == "withdraw" else b"",
    )  # fmt: skip


def _settings() -> bytes:
    return (
        '\x02holder_id = "kh-a"\nmanifest_file = "m"\ndirectory_file = "d"\nsigning_key_file = "s"\n'
        f'shares_dir = "shares"\ndatabase = "c.db"\n[holders]\nkh-a = "{b64u(PUBLIC)}"\n'
    ).encode()


def _vocabulary() -> bytes:
    from policy.vocabulary import PACKAGED

    return PACKAGED.read_bytes()


def main() -> None:
    """Write the corpus."""
    for name, found in seeds().items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for at, raw in enumerate(found):
            (folder / f"seed-{at:02}").write_bytes(raw)


if __name__ == "__main__":
    main()
