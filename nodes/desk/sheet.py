"""The kitchen-table sheet, "Op de koelkast": one A4 that a citizen and a generalist make together.

    form -> is there a number of a person on it? -> does it fit? -> the page, and nothing else

Stored nowhere: what is typed comes in with the form, goes out in the page, and is put in no session,
store, log or cache. The page follows from the form alone, so a login that ended meanwhile loses nothing,
and nothing here knows a citizen: no flag is filled in by itself.

Whether it fits is reckoned with letters that are rather too wide than too narrow: a printer has no script.

Source: screens.md §4.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil

from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import Visitor
from consent.pages.pages import Door
from nodes.bsn import BadBsn, Bsn
from nodes.desk.pages import FieldProblem, may_look
from nodes.pages import Guest, NodePages
from nodes.runtime import NodeRuntime

MOST_PEOPLE = MOST_AGREEMENTS = 6
LONGEST = 80
PEOPLE, AGREEMENTS = ("naam", "waarmee", "telefoon"), ("wat", "door", "klaar")
ALONE = ("eerst", "weer")
OPTIONS = ("groot", "makkelijk", "zonder")

# Of the printed page, in points; style.css prints with the same figures.
_LETTER = {False: 14.0, True: 18.0}
_LINE = 1.3
_WIDE, _HIGH = 510.0, 757.0
"""Between margins of 15 mm on A4 (595 by 842 pt), a little less on each side."""
_ROW_EXTRA, _CELL_EXTRA = 5.0, 12.0
_FIXED_LINES, _FIXED_EXTRA = 9.0, 85.0
"""Title, headings, heads of columns and last sentence: lines of the chosen letter, and points around them."""
_NARROW, _BROAD = frozenset("iljtf.,:;'|!()[] "), frozenset("mwMW@%—")


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands on the form. Shows nothing of it: tracebacks print reprs."""

    people: tuple[tuple[str, ...], ...] = field(repr=False)
    agreements: tuple[tuple[str, ...], ...] = field(repr=False)
    first: str = field(repr=False)
    next: str = field(repr=False)
    options: frozenset[str]

    @property
    def large(self) -> bool:
        """Letters of 18 instead of 14 points."""
        return "groot" in self.options


EMPTY = Typed((("",) * 3,) * MOST_PEOPLE, (("",) * 3,) * MOST_AGREEMENTS, "", "", frozenset())


def add_sheet(pages: NodePages, routes: APIRouter, node: NodeRuntime) -> None:
    """The form, for who may look, and the sheet, for which the form is enough."""
    sheet = Sheet(node)
    pages.doors.append(Door("/blad", "desk.nav_sheet", may_look))
    pages.add(routes, "/blad", sheet.form, who=may_look)
    pages.add(routes, "/blad", sheet.make, who=None, methods=("POST",), pure=True)


class Sheet:
    """The form and the page."""

    def __init__(self, node: NodeRuntime) -> None:
        self._node = node

    async def form(self, visitor: Visitor[Guest]) -> Response:
        """The empty form."""
        return self._form(visitor, EMPTY)

    async def make(self, visitor: Visitor[Guest]) -> Response:
        """The sheet, or the form again with what is wrong; `terug` is the button that changes it."""
        typed, numbers = _read(visitor)
        say = "easy" if "makkelijk" in typed.options else "plain"
        made = visitor.words(f"desk.sheet.{say}_made", date=visitor.words.day(self._node.now()))
        if (organisation := self._node.settings.organisation_name) and "zonder" not in typed.options:
            made += " " + visitor.words("desk.sheet.with", organisation=organisation)
        problems = [FieldProblem(id_, visitor.words("desk.sheet.no_number")) for id_ in numbers]
        if not problems and not fits(typed, made):
            problems = [FieldProblem("naam-1", visitor.words("desk.sheet.too_much"))]
        if problems or visitor.field("terug"):
            return self._form(visitor, typed, problems)
        return visitor.show(
            "desk/sheet.html",
            typed=typed,
            people=_filled(typed.people),
            agreements=_filled(typed.agreements),
            made=made,
            say=say,
        )

    def _form(self, visitor: Visitor[Guest], typed: Typed, problems: Sequence[FieldProblem] = ()) -> Response:
        return visitor.show(
            "desk/sheet_form.html",
            400 if problems else 200,
            typed=typed,
            problems=list(problems),
            wrong={problem.id: problem.text for problem in problems},
            longest=LONGEST,
        )


def _read(visitor: Visitor[Guest]) -> tuple[Typed, list[str]]:
    """What was typed, and the ids of fields that held a number of a person: those are empty now."""
    numbers: list[str] = []

    def one(id_: str) -> str:
        text = " ".join(visitor.field(id_).split())[:LONGEST]
        if _names_person(text):
            numbers.append(id_)
            return ""
        return text

    def rows(names: Sequence[str], most: int) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(one(f"{name}-{place}") for name in names) for place in range(1, most + 1))

    people, agreements = rows(PEOPLE, MOST_PEOPLE), rows(AGREEMENTS, MOST_AGREEMENTS)
    first, again = (one(id_) for id_ in ALONE)
    options = frozenset(name for name in OPTIONS if visitor.field(name))
    return Typed(people, agreements, first, again, options), numbers


def _names_person(text: str) -> bool:
    """Whether nine digits stand in it that could be a citizen service number; a telephone number has ten."""
    for digits in re.findall(r"(?<!\d)\d{9}(?!\d)", re.sub(r"(?<=\d)[ .\-/]+(?=\d)", "", text)):
        try:
            Bsn.parse(digits)
        except BadBsn:
            continue
        return True
    return False


def _filled(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [row for row in rows if any(row)]


def fits(typed: Typed, made: str) -> bool:
    """Whether it can be printed on one A4, under the sentence on when it was made."""
    letter = _LETTER[typed.large]
    column = _WIDE / 3 - _CELL_EXTRA
    rows = [*_filled(typed.people), *_filled(typed.agreements)]
    lines = sum(max(lines_of(cell, column, letter) for cell in row) for row in rows)
    lines += sum(lines_of(text, _WIDE, letter) for text in (made, typed.first, typed.next))
    return (lines + _FIXED_LINES) * letter * _LINE + len(rows) * _ROW_EXTRA + _FIXED_EXTRA <= _HIGH


def lines_of(text: str, width: float, letter: float) -> int:
    """How many lines a text needs at most, in a column of so many points; a word is cut where it must."""
    lines, at = 1, 0.0
    for word in text.split():
        wide = sum(_em(character) for character in word) * letter
        if at and at + 0.35 * letter + wide > width:
            lines, at = lines + 1, 0.0
        elif at:
            at += 0.35 * letter
        if wide > width:  # cut anywhere: each line loses one letter at most
            cut = ceil(wide / (width - letter))
            lines, at = lines + cut - 1, width
        else:
            at += wide
    return lines


def _em(character: str) -> float:
    """Width of a letter as a share of its size, as the widest of the usual typefaces has it."""
    if character in _NARROW:
        return 0.38
    if character in _BROAD or not character.isascii():
        return 1.05
    return 0.82 if character.isupper() else 0.64
