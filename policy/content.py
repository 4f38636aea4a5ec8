"""What a version is made of: a vocabulary, the rules that people wrote, and the schema.

A candidate is one or more files or folders. File by file the packaged data is
the default: `vocabulary.toml` takes the place of the packaged vocabulary,
`forbids.cedar` of the packaged rules, `*.cedarschema` is compared with the
packaged schema. Any other `*.cedar` adds its rules; one with the @id of a
packaged rule takes that rule's place. So nothing is left out by accident.

Source: docs/design/policy-and-consent.md, "Publishing a version".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .cedar_text import Statement, statements
from .rules import Rule, RuleError, packaged_rules, rules_of, schema_text
from .texts import FORBIDS, VOCABULARY, Texts
from .vocabulary import PACKAGED, Vocabulary, VocabularyError, errors_in, parse_vocabulary

_LARGEST = 2 * 1024 * 1024
_DATA = PACKAGED.parent


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why a candidate is refused. `line` is 0 where it concerns the file as a whole."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class ContentError(Exception):
    """A candidate that cannot be used. `faults` has every reason that was found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in faults))


@dataclass(frozen=True, slots=True)
class File:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """One rule as somebody wrote it, and where."""

    file: str
    id: str
    statement: Statement


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a candidate, read and not yet judged. `schema` is None where none was given."""

    vocabulary: File
    rules: tuple[File, ...]
    schema: File | None

    def written(self) -> tuple[Written, ...]:
        """Every rule that people wrote, packaged ones that were not replaced included."""
        found = [
            Written(file.name, id_of(statement), statement)
            for file in self.rules
            for statement in statements(file.text)
        ]
        if any(Path(file.name).name == FORBIDS for file in self.rules):
            return tuple(found)
        replaced = {one.id for one in found}
        packaged = _read(_DATA / FORBIDS, f"(packaged) {FORBIDS}")
        kept = [Written(packaged.name, id_of(one), one) for one in statements(packaged.text)]
        return (*(one for one in kept if one.id not in replaced), *found)

    def texts(self) -> Texts:
        """What is published, stored and signed: every rule that applies, in one text."""
        alone = self.rules[0] if [Path(file.name).name for file in self.rules] == [FORBIDS] else None
        rules = alone.text if alone else "\n\n".join(one.statement.text for one in self.written()) + "\n"
        return Texts(self.vocabulary.text, rules, self.schema.text if self.schema else schema_text())


@dataclass(frozen=True, slots=True)
class Content:
    """A vocabulary that loads, and rules within the house subset."""

    vocabulary: Vocabulary
    written: tuple[str, ...]

    @property
    def profiles(self) -> tuple[str, ...]:
        return tuple(profile.code for profile in self.vocabulary.profiles)

    def rules(self, profiles: Sequence[str] = ()) -> tuple[Rule, ...]:
        """All rules for these profiles, or for every one."""
        return rules_of(self.vocabulary, tuple(profiles) or self.profiles, self.written)


def packaged() -> Content:
    """What the product comes with."""
    return Content(parse_vocabulary(PACKAGED.read_text(encoding="utf-8")), packaged_rules())


def load_content(paths: Sequence[Path]) -> Content:
    """A candidate, or what is packaged when no path is given.

    Raises:
        ContentError: A file cannot be read, the vocabulary does not load, or a
            rule is outside the house subset.
    """
    if not paths:
        return packaged()
    sources = read_sources(paths)
    faults = vocabulary_faults(sources.vocabulary)
    if faults:
        raise ContentError(faults)
    content = Content(
        parse_vocabulary(sources.vocabulary.text), tuple(one.statement.text for one in sources.written())
    )
    try:
        content.rules()
    except RuleError as error:
        raise ContentError([Fault(", ".join(file.name for file in sources.rules), 0, str(error))]) from None
    return content


def to_publish(folder: Path) -> Sources:
    """The candidate in a folder; one to publish names its own vocabulary and rules, and takes over none.

    Raises:
        ContentError: As for `read_sources`, or one of the two is not there.
    """
    missing = [name for name in (VOCABULARY, FORBIDS) if not (folder / name).is_file()]
    if missing:
        raise ContentError([Fault(str(folder / name), 0, "is missing") for name in missing])
    return read_sources([folder])


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read the files of a candidate.

    Raises:
        ContentError: A file is missing, unreadable or of no known sort, or two vocabularies are given.
    """
    files, faults = [], []
    for path in paths:
        try:
            files += list(_files_of(path))
        except OSError:
            faults.append(Fault(str(path), 0, "cannot be read"))
        except UnicodeDecodeError:
            faults.append(Fault(str(path), 0, "is no UTF-8 text"))
        except ValueError as error:
            faults.append(Fault(str(path), 0, str(error)))
    by_suffix = {
        suffix: [file for file in files if file.name.endswith(suffix)]
        for suffix in (".toml", ".cedar", ".cedarschema")
    }
    for suffix in (".toml", ".cedarschema"):
        faults += [Fault(file.name, 0, "a second one; a candidate has one") for file in by_suffix[suffix][1:]]
    if faults:
        raise ContentError(faults)
    vocabulary = by_suffix[".toml"] or [_read(PACKAGED, "(packaged) vocabulary.toml")]
    schema = by_suffix[".cedarschema"]
    return Sources(vocabulary[0], tuple(by_suffix[".cedar"]), schema[0] if schema else None)


def vocabulary_faults(file: File) -> list[Fault]:
    return [Fault(file.name, error.line, _without_line(error)) for error in errors_in(file.text)]


def _without_line(error: VocabularyError) -> str:
    return str(error).partition(": ")[2]


def id_of(statement: Statement) -> str:
    """The @id of a policy, or nothing."""
    texts = [token.text for token in statement.tokens[:5]]
    named = texts[:3] == ["@", "id", "("] and texts[4:] == [")"] and texts[3].startswith('"')
    return texts[3][1:-1] if named else ""


def _files_of(path: Path) -> Iterator[File]:
    if path.is_dir():
        inside = sorted(one for one in path.iterdir() if one.suffix in (".toml", ".cedar", ".cedarschema"))
        if not inside:
            raise ValueError("a candidate has vocabulary.toml, *.cedar or both")
        for one in inside:
            yield _read(one, str(one))
    elif path.suffix in (".toml", ".cedar", ".cedarschema"):
        yield _read(path, str(path))
    elif path.exists():
        raise ValueError("is no .toml, .cedar or .cedarschema file")
    else:
        raise ValueError("is not there")


def _read(path: Path, name: str) -> File:
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"is larger than {_LARGEST} bytes")
    return File(name, path.read_text(encoding="utf-8"))
