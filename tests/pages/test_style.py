"""The look: components and tokens under a licence, and a municipality's own tokens in one file."""

import re
from pathlib import Path

import pytest

from consent.pages.style import PAIRS, TokensWrong, contrast, design_tokens, sheet
from tests.pages.client import Plain
from tests.pages.world import Site, node_site, served

STATIC = Path(__file__).parents[2] / "consent" / "pages" / "static"


def tokens(tmp_path: Path, css: str) -> Path:
    path = tmp_path / "gemeente.css"
    path.write_text(css, encoding="utf-8")
    return path


def test_the_sheet_of_the_product_is_readable_small_and_asks_nothing_from_elsewhere() -> None:
    style = sheet().decode()
    assert not re.search(r"url\(|@import|https?:", style)
    assert "@layer theme" in style
    assert len(style) < 120_000


def test_what_others_made_stands_there_with_its_licence() -> None:
    head = (STATIC / "theme.css").read_text()[:400]
    assert "@utrecht/component-library-css" in head
    assert "EUPL-1.2" in head
    assert (STATIC / "LICENSE-theme.md").read_text().startswith("# EUROPEAN UNION PUBLIC LICENCE v. 1.2")


def test_every_design_token_that_the_sheet_reads_has_a_value() -> None:
    style = (STATIC / "style.css").read_text()
    known = design_tokens(sheet().decode())
    read = set(re.findall(r"var\((--(?:basis|utrecht)[\w-]+)\)", style))
    assert len(read) > 20
    assert read - set(known) == set()


def test_a_municipalitys_colours_reach_the_page_and_nothing_else_of_its_file(
    issuer: str, tmp_path: Path
) -> None:
    path = tokens(
        tmp_path,
        ".gemeente-theme { --basis-color-action-1-inverse-bg-default: rgb(122, 0, 60);"
        " --not-read-by-us: url(//gluur.example); } .vw-header { display: none }",
    )
    with served(node_site({"desk"}, issuer, tokens_file=path)) as site:
        page = Plain(site).get("/").text
        style = Plain(site).get(re.findall(r"/stijl-\w+\.css", page)[0]).text
    assert "--basis-color-action-1-inverse-bg-default: rgb(122, 0, 60);" in style
    assert "gluur" not in style
    assert style.count("display: none }") == sheet().decode().count("display: none }")


def test_another_file_is_another_address_so_no_old_look_is_kept(desk: Site, tmp_path: Path) -> None:
    own = tokens(tmp_path, ":root { --basis-color-action-2-color-default: #003082 }")
    assert sheet(own) != sheet()


@pytest.mark.parametrize(
    ("css", "says"),
    [
        (":root { --basis-color-default-color-document: #999999 }", "contrast 2.6"),
        (":root { --basis-color-action-2-color-default: hsl(50 100% 50%) }", "action-2-color-default"),
        (":root { --basis-focus-background-color: color-mix(in oklch, red, blue) }", "write this colour"),
        (":root { --basis-color-action-1-inverse-bg-default: url(data:x) }", "is not taken"),
        (":root { --basis-heading-color: var(--basis-heading-color) }", "has no value"),
        ("h1 { color: red }", "no design tokens"),
    ],
)
def test_a_file_that_makes_text_hard_to_read_stops_the_process(tmp_path: Path, css: str, says: str) -> None:
    with pytest.raises(TokensWrong, match=re.escape(says)):
        sheet(tokens(tmp_path, css))


def test_a_file_that_is_not_there_stops_the_process(tmp_path: Path) -> None:
    with pytest.raises(TokensWrong, match="cannot be read"):
        sheet(tmp_path / "absent.css")


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)
    assert contrast("rgb(119, 119, 119)", "hsl(0, 0%, 100%)") == pytest.approx(4.48, abs=0.01)
    assert {letters for letters, _, _ in PAIRS} >= {"--ink", "--link", "--soft", "--on-brand", "--bad"}
