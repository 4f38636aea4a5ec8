"""A candidate is refused with file, line and reason, and everything wrong with it is listed."""

from pathlib import Path

import pytest

from policy.check import check, summary
from policy.content import ContentError, load_content
from policy.rules import schema_text
from policy.vocabulary import PACKAGED

VOCABULARY = PACKAGED.read_text(encoding="utf-8")
FORBIDS = (PACKAGED.parent / "forbids.cedar").read_text(encoding="utf-8")


def _faults(folder: Path, **files: str) -> list[tuple[str, int, str]]:
    for name, text in files.items():
        suffix = {"vocabulary": "toml", "schema": "cedarschema"}.get(name, "cedar")
        (folder / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    return [(Path(one.file).name, one.line, one.reason) for one in check([folder]).faults]


def _rule(condition: str, *, effect: str = "forbid", scope: str = "principal") -> str:
    return (
        f'// a comment\n\n@id("nieuw")\n{effect} ({scope}, action == Action::"view", resource)\n'
        f"when {{\n  context.restricted ||\n  {condition}\n}};\n"
    )


def test_what_is_packaged_is_right_also_when_it_is_given_as_a_candidate(tmp_path):
    own = check([])
    faults = _faults(tmp_path, vocabulary=VOCABULARY, forbids=FORBIDS, schema=schema_text())

    assert own.faults == ()
    assert faults == []
    assert summary(check([tmp_path]))["hash"] == summary(own)["hash"]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ('context.purpose like "huis*"', "like is outside"),
        ("context has mandate", "has is outside"),
        ("resource is Kind", "is is outside"),
        ("(if context.mandate then true else false)", "if is outside"),
        ("1 + 1 == 2", "+ is outside"),
        ('[context.purpose].contains("crisis")', "literal"),
        ('ip("10.0.0.1").isLoopback()', "isLoopback is outside"),
        ('decimal("1.0").lessThan(decimal("2.0"))', "lessThan is outside"),
        ('["crisis"].containsAny([context.purpose])', "containsAny is outside"),
        ("context.purpose == context.basis", "literal text"),
        ('context.purpos == "crisis"', "`purpos`"),
        ("resource.sticker", "`sticker`"),
        ('context.hasCase == "ja"', "not compatible"),
        ('principal in Role::"generalst"', "no Role generalst"),
        ('resource == Kind::"bijstnd"', "no Kind bijstnd"),
        ('context.purpose == "huisbezok"', "purpose is never 'huisbezok'"),
        ('resource.domain != "gelt"', "domain is never 'gelt'"),
        ('context.consent == "misschien"', "consent is never 'misschien'"),
    ],
)
def test_a_slip_in_a_rule_is_refused_at_its_line(tmp_path, condition, reason):
    faults = _faults(tmp_path, extra=_rule(condition))

    assert [fault for fault in faults if fault[:2] == ("extra.cedar", 7) and reason in fault[2]], faults


def test_a_forbid_that_could_err_says_what_would_come_of_it(tmp_path):
    (fault,) = _faults(tmp_path, extra=_rule('context.purpos == "crisis"'))

    assert "the answer would be a yes" in fault[2]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('forbid (principal, action == Action::"view", resource);', 1, "@id"),
        ('@id("x")\nforbid (principal, action, resource);', 2, "one action"),
        ('@id("x")\nforbid (principal, action == Action::"viw", resource);', 2, "no Action viw"),
        ('@id("x")\nforbid (principal == ?principal, action == Action::"view", resource);', 1, "template"),
        ('@id("x")\nforbid (principal, action == Action::"view", resource) when { 1 = 1 };', 2, "'='"),
        ('@id("x")\nforbid (principal, action == Action::"view", resource)', 1, "end of input"),
        ('@id("x")\npermit (principal, action == Action::"view", resource);', 1, "no sentence"),
        (
            '@id("x")\npermit (principal in Role::"generalist", action == Action::"view",\n'
            'resource == Kind::"corv") when { context.basis == "wettelijke_taak" &&\n'
            '["huisbezoek"].contains(context.purpose) };',
            4,
            "no node asks veiligheid",
        ),
    ],
)
def test_a_rule_of_the_wrong_form_is_refused(tmp_path, text, line, reason):
    faults = _faults(tmp_path, extra=text)

    assert [fault for fault in faults if fault[1] == line and reason in fault[2]], faults


def test_two_rules_of_one_name_are_refused(tmp_path):
    (fault,) = _faults(tmp_path, extra=_rule("context.incapable"), more=_rule("context.incapable"))

    assert fault[:2] == ("more.cedar", 3)
    assert "extra.cedar:3" in fault[2]


def test_everything_that_is_wrong_is_listed(tmp_path):
    broken = VOCABULARY.replace('act = "WW; Wet SUWI 62"\n', "").replace(
        "retention_days_after_end = 730\n", ""
    )
    broken = broken.replace('toestemming = ["jeugdhulp"]', 'toestemming = ["jeugdhulp", "weg", "duo_schuld"]')
    assert broken != VOCABULARY

    faults = _faults(tmp_path, vocabulary=broken, one=_rule("resource.sticker"), two="@id(")

    reasons = "\n".join(fault[2] for fault in faults)
    assert {fault[0] for fault in faults} == {"vocabulary.toml", "one.cedar", "two.cedar"}
    for part in ("`act`", "`retention_days_after_end`", "weg is no kind", "duo_schuld can never", "sticker"):
        assert part in reasons
    assert all(fault[1] for fault in faults)


def test_a_kind_that_the_rules_close_in_every_state_is_refused_at_the_list_of_its_role(tmp_path):
    listed = 'vitaal_belang = ["veilig_thuis", "jeugdbescherming"]'
    wide = VOCABULARY.replace(
        'vitaal_belang = ["corv", "jeugdbescherming"]',
        'vitaal_belang = ["corv", "jeugdbescherming", "veilig_thuis"]',
    )
    assert listed in VOCABULARY

    (fault,) = _faults(tmp_path, vocabulary=wide)

    assert wide.splitlines()[fault[1] - 1].startswith("vitaal_belang")
    assert "jeugd_intake" in fault[2]
    assert "veilig_thuis can never be reached" in fault[2]


def test_a_kind_behind_a_switch_or_a_mandate_may_be_listed():
    assert "enabled = false" in VOCABULARY
    assert check([]).faults == ()


def test_another_schema_is_refused_at_the_line_where_it_differs(tmp_path):
    nested = schema_text().replace("entity Role;", "entity Role in [Role];")

    (fault,) = _faults(tmp_path, schema=nested)

    assert fault[0] == "schema.cedarschema"
    assert nested.splitlines()[fault[1] - 1].startswith("entity Role")


def test_a_rule_of_the_same_name_takes_the_place_of_the_packaged_one(tmp_path):
    narrower = FORBIDS[FORBIDS.index('@id("toezicht")') : FORBIDS.index('@id("uitgeschakeld")')]
    (tmp_path / "own.cedar").write_text(narrower.replace('"toezicht" }', '"crisis" }'), encoding="utf-8")

    content = load_content([tmp_path])

    assert len(content.written) == len(load_content([]).written)
    assert sum('@id("toezicht")' in text for text in content.written) == 1


@pytest.mark.parametrize("name", ["absent.toml", "notes.txt", ""])
def test_what_is_no_candidate_is_refused(tmp_path, name):
    (tmp_path / "notes.txt").write_text("x")

    assert check([tmp_path / name]).faults
    with pytest.raises(ContentError):
        load_content([tmp_path / name])
