"""Corpus and regressions through every parser, in `make test`, without atheris."""

from pathlib import Path
from typing import Any

import pytest

from consent import directive
from index.accesslog import tiles

from . import campaign, seeds
from .targets import TARGETS

PARSERS = sorted(set(TARGETS) - {campaign.PLANTED})


def inputs(name: str, *roots: Path) -> list[bytes]:
    return [path.read_bytes() for root in roots for path in sorted((root / name).glob("*"))]


@pytest.mark.parametrize("name", PARSERS)
def test_what_a_parser_accepted_it_still_accepts_and_no_old_finding_is_back(name: str) -> None:
    accepted = [TARGETS[name](raw) for raw in inputs(name, campaign.CORPUS)]
    assert True in accepted
    for raw in inputs(name, campaign.REGRESSIONS):
        TARGETS[name](raw)


@pytest.mark.parametrize("name", PARSERS)
def test_every_cut_and_every_flipped_byte_of_the_corpus_is_taken_or_refused(name: str) -> None:
    tried = 0
    for raw in inputs(name, campaign.CORPUS):
        places = range(0, len(raw), max(1, len(raw) // 24))
        for at in places:
            for changed in (
                raw[:at],
                raw[:at] + bytes([raw[at] ^ 0x81]) + raw[at + 1 :],
                raw[at:] + raw[:at],
            ):
                TARGETS[name](changed)
                tried += 1
    assert tried


def test_every_regression_belongs_to_a_parser() -> None:
    assert {path.name for path in campaign.REGRESSIONS.iterdir() if path.is_dir()} <= set(TARGETS)


def test_the_corpus_is_what_the_seeds_make(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "SHARED", shared / "vectors")
    for name, made in seeds.seeds().items():
        assert inputs(name, campaign.CORPUS) == made, name


@pytest.mark.parametrize(
    ("module", "attribute", "name"),
    [(tiles, "_PATH", "tile_paths"), (directive, "_from_json", "ledger_entry")],
)
def test_a_parser_that_lets_another_error_out_is_found(
    module: Any, attribute: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: what the parser rests on fails with an error that is not its own."""

    class Broken:
        def __call__(self, *_: object) -> object:
            raise ZeroDivisionError

        match = __call__

    monkeypatch.setattr(module, attribute, Broken())
    raw = inputs(name, campaign.CORPUS)[0]
    with pytest.raises(ZeroDivisionError):
        TARGETS[name](raw)
