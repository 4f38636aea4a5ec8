"""Cedar, asked when a version is published; the table it filled answers from then on.

    vocabulary -> rules -> strict validation -> role slices -> Cedar -> table

`schema=` goes with every request. An answer that Cedar could not give, or gave
with an error in any rule, stops the publication: a forbid that errs is skipped
by Cedar, and the answer would be a yes.

Source: docs/design/policy.md, "Cedar" and "Cost".
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import cedarpy

from .rules import Rule, RuleError, fall, rules_of, schema_text, written_in
from .sentences import Unsayable, say
from .table import Question, Sheet, Table, fill
from .texts import Texts
from .vocabulary import Kind, Vocabulary, parse_vocabulary

__all__ = ["Bundle", "PolicyVersion", "PublishError", "RuleError", "build", "bundle", "publish"]


class PublishError(Exception):
    """This version cannot be published: a rule does not validate, or Cedar gave no decision."""


@dataclass(frozen=True, slots=True, eq=False)
class PolicyVersion:
    """One published version: its content, and Cedar's answers to all it can be asked.

    `hash` is over rules, schema, vocabulary and profiles, not over the number.
    `filled` are the profiles whose answers the table holds.
    """

    number: int
    hash: bytes
    vocabulary: Vocabulary
    profiles: tuple[str, ...]
    rules: tuple[Rule, ...]
    table: Table
    schema: str
    filled: frozenset[str]

    def rule(self, number: int) -> Rule:
        """The rule with a number as `Outcome.rule` and the log have it. Numbers begin at 1."""
        return self.rules[number - 1]


class Bundle:
    """Parsed once: the policies that can concern one role, the schema, and the entities of one asker.

    A policy whose scope names another role cannot apply, so leaving it out
    changes no answer (tested against the full set).
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        schema: cedarpy.Schema,
        vocabulary: Vocabulary,
        asker: tuple[str, str, str],
    ) -> None:
        organisation_class, profile, role = asker
        self._schema = schema
        chosen = list(rules)
        self._numbers = {rule.id: rule.number for rule in chosen}
        self._policies = cedarpy.PolicySet.from_str("\n".join(rule.text for rule in chosen))
        self._entities = cedarpy.Entities.from_json_str(
            json.dumps(_entities(vocabulary.kinds, organisation_class, profile, role)), schema
        )

    def ask(self, questions: Sequence[Question]) -> list[int]:
        """Per question the number of the permit that Cedar allowed it by, or 0 for no.

        Raises:
            PublishError: NoDecision, or an error in a rule.
        """
        requests = [
            {
                "principal": 'User::"asker"',
                "action": 'Action::"view"',
                "resource": f'Kind::"{question.kind}"',
                "context": question.context,
            }
            for question in questions
        ]
        results = cedarpy.is_authorized_batch(requests, self._policies, self._entities, schema=self._schema)
        return [self._number(question, result) for question, result in zip(questions, results, strict=True)]

    def stops(self, question: Question) -> tuple[str, ...]:
        """The ids of the forbids by which Cedar denies; none when it allows, or when no permit applies.

        Raises:
            PublishError: NoDecision, or an error in a rule.
        """
        if self.ask([question]) != [0]:
            return ()
        result = cedarpy.is_authorized(
            {
                "principal": 'User::"asker"',
                "action": 'Action::"view"',
                "resource": f'Kind::"{question.kind}"',
                "context": question.context,
            },
            self._policies,
            self._entities,
            schema=self._schema,
        )
        return tuple(sorted(result.diagnostics.id_annotations_by_reason.values()))

    def _number(self, question: Question, result: cedarpy.AuthzResult) -> int:
        if result.decision is cedarpy.Decision.NoDecision or result.diagnostics.errors:
            raise PublishError(f"Cedar gave no decision for {question.kind}: {question.context}")
        if not result.allowed:
            return 0
        reasons = result.diagnostics.id_annotations_by_reason
        return min(self._numbers[name] for name in reasons.values())


def publish(
    vocabulary: Vocabulary,
    *,
    version: int,
    profiles: tuple[str, ...] = ("basis",),
    organisation_classes: tuple[str, ...] = (),
    written: tuple[str, ...] | None = None,
    schema: str | None = None,
    filled: tuple[str, ...] | None = None,
) -> PolicyVersion:
    """Check a version and fill its table from Cedar's answers.

    Cedar is asked once per process and content: publish before forking and the
    children share the answers, also for fewer organisation classes.

    Args:
        version: The immutable number under which nodes see the answers.
        profiles: Which profiles its organisations may use.
        organisation_classes: Classes of the organisations that may ask;
            without it all of the vocabulary.
        filled: For which of the profiles Cedar is asked now; without it for all.
            Neither the hash nor a rule's number depends on it.
        written: The rules that people wrote, one text each; without it the packaged ones.
        schema: The Cedar schema; without it the packaged one.

    Raises:
        PublishError: A rule does not fit schema or house subset, cannot be said
            in Dutch, or Cedar gave no decision.
    """
    schema = schema or schema_text()
    ruled = _ruled(vocabulary, profiles, written, schema)
    classes = organisation_classes or tuple(item.code for item in vocabulary.organisation_classes)
    table = Table()
    asked_now = profiles if filled is None else filled
    for profile in asked_now:
        for role in vocabulary.roles:
            slice_ = slice_of(ruled.rules, role.code, profile)
            for code in classes:
                asked = (_alike(vocabulary, slice_, code), profile, role.code)
                for purpose, sheet in _sheets(vocabulary, profiles, written, schema, asked).items():
                    table.sheets[(code, profile, role.code, purpose)] = sheet
    held = frozenset(asked_now)
    return PolicyVersion(version, ruled.digest, vocabulary, profiles, ruled.rules, table, schema, held)


def build(
    content: Texts,
    *,
    number: int,
    filled: tuple[str, ...] = ("basis",),
    organisation_classes: tuple[str, ...] = (),
) -> PolicyVersion:
    """The version behind stored or candidate texts, with every profile of its vocabulary.

    Raises:
        VocabularyError, PublishError: Parsing, strict validation, the subset or Cedar refuses it.
    """
    vocabulary = parse_vocabulary(content.vocabulary)
    return publish(
        vocabulary,
        version=number,
        profiles=tuple(profile.code for profile in vocabulary.profiles),
        organisation_classes=organisation_classes,
        written=written_in(content.forbids),
        schema=content.schema,
        filled=filled,
    )


class _Ruled(NamedTuple):
    rules: tuple[Rule, ...]
    schema: cedarpy.Schema
    digest: bytes


@lru_cache(maxsize=16)
def _ruled(
    vocabulary: Vocabulary, profiles: tuple[str, ...], written: tuple[str, ...] | None, schema: str
) -> _Ruled:
    try:
        rules = rules_of(vocabulary, profiles, written)
        for rule in rules:
            say(vocabulary, rule)
        parsed = cedarpy.Schema.from_str(schema)
    except (RuleError, Unsayable, ValueError) as error:
        raise PublishError(str(error)) from None
    validate(rules, parsed)
    return _Ruled(rules, parsed, _digest(vocabulary, profiles, rules, schema))


def _alike(vocabulary: Vocabulary, slice_: Sequence[Rule], code: str) -> str:
    """The first class that falls like this one in every test of these rules: to Cedar they are one."""
    fallen = fall(slice_, "organisationClass", code)
    known = (item.code for item in vocabulary.organisation_classes)
    return next((other for other in known if fall(slice_, "organisationClass", other) == fallen), code)


@lru_cache(maxsize=4096)
def _sheets(
    vocabulary: Vocabulary,
    profiles: tuple[str, ...],
    written: tuple[str, ...] | None,
    schema: str,
    asker: tuple[str, str, str],
) -> Mapping[str, Sheet]:
    """Cedar's answers for one (organisation class, profile, role), by purpose."""
    ruled = _ruled(vocabulary, profiles, written, schema)
    slice_ = slice_of(ruled.rules, asker[2], asker[1])
    return fill(asker[2], vocabulary, slice_, Bundle(slice_, ruled.schema, vocabulary, asker).ask)


def bundle(
    vocabulary: Vocabulary,
    rules: Sequence[Rule],
    asker: tuple[str, str, str],
    *,
    sliced: bool = True,
    schema: str | None = None,
) -> Bundle:
    """A bundle for (organisation class, profile, role); unsliced it holds every rule, for comparison."""
    _, profile, role = asker
    chosen = slice_of(rules, role, profile) if sliced else rules
    return Bundle(chosen, cedarpy.Schema.from_str(schema or schema_text()), vocabulary, asker)


def slice_of(rules: Sequence[Rule], role: str, profile: str) -> tuple[Rule, ...]:
    """The rules without a role in their scope, and those that name this one; of this profile only."""
    return tuple(rule for rule in rules if rule.role in ("", role) and rule.profile in ("", profile))


def validate(rules: Sequence[Rule], schema: cedarpy.Schema) -> None:
    """Strict validation of all rules, and one @id each. Raises `PublishError`."""
    result = cedarpy.validate_policies("\n".join(rule.text for rule in rules), schema)
    if not result.validation_passed:
        found = "; ".join(str(error) for error in result.errors[:3])
        raise PublishError(f"the rules do not fit the schema: {found}")
    names = [rule.id for rule in rules]
    if len(set(names)) != len(names):
        raise PublishError("two rules have one @id")


def _digest(vocabulary: Vocabulary, profiles: tuple[str, ...], rules: Sequence[Rule], schema: str) -> bytes:
    parts = [
        "\n".join(rule.text for rule in rules).encode(),
        schema.encode(),
        vocabulary.hash,
        "\n".join(profiles).encode(),
    ]
    return sha256(b"vlagwijzer/policy/v1\n" + b"".join(sha256(part).digest() for part in parts)).digest()


def _entities(
    kinds: Iterable[Kind], organisation_class: str, profile: str, role: str
) -> list[dict[str, object]]:
    parent = {"type": "Role", "id": role}
    entities: list[dict[str, object]] = [
        {"uid": parent, "attrs": {}, "parents": []},
        {
            "uid": {"type": "User", "id": "asker"},
            "attrs": {"organisationClass": organisation_class, "profile": profile},
            "parents": [parent],
        },
    ]
    for kind in kinds:
        attrs = {
            "domain": kind.domain,
            "enabled": kind.enabled,
            "consentPossible": kind.consent_possible,
            "explicitConsent": kind.explicit_consent,
            "breakGlass": kind.break_glass,
            "art9": kind.art9_or_10,
            "compelling": kind.compelling_child_safety,
        }
        entities.append({"uid": {"type": "Kind", "id": kind.code}, "attrs": attrs, "parents": []})
    return entities
