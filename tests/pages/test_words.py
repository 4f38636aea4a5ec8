"""The words: the same keys in each language, short sentences, no hard words, the texts that were agreed."""

import re
from pathlib import Path

import jinja2
import pytest

from consent.pages.names import translations
from consent.pages.words import LANGUAGES, words
from policy.vocabulary import load_vocabulary

HARD_WORDS = """
    pseudoniem hash risico score signaal dossier grondslag doelbinding verwerking betrokkene autorisatie
    authenticatie identificatie conform middels inzake teneinde derhalve desbetreffende alsmede krachtens
    ingevolge verstrekken verstrekking raadplegen raadpleging persoonsgegevens consent token node hub server
    applicatie geautoriseerd gelieve
""".split()  # noqa: SIM905
TEMPLATES = (
    "consent/pages/templates",
    "nodes/desk/templates",
    "nodes/portal/templates",
    "nodes/source_pages/templates",
    "index/web/templates",
)
ROOT = Path(__file__).parents[2]
ALLOWED = {("desk.answer.zrm", "score"), ("portal.help.authority", "persoonsgegevens")}
"""That the product keeps no scores, said in the words that were agreed; and a legal name."""
NO_SCRIPT = ("Even geduld.", "Wij halen dit op.")
"""The text while a page loads is for scripts, of which there are none."""


def sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?:])\s+", text) if part]


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_language_has_the_same_keys(language: str) -> None:
    first, other = set(words(LANGUAGES[0]).sentences), set(words(language).sentences)
    assert first - other == set()
    assert other - first == set()


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_sentence_has_the_same_values_in_every_language(language: str) -> None:
    other = words(language).sentences
    for key, text in words(LANGUAGES[0]).sentences.items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", other[key])), key


def test_no_dutch_word_stands_in_the_english_texts() -> None:
    dutch = r"\b(het|een|niet|wie|wat|voor|onderwerp|onderwerpen|deze|wij|uw|u|naar|niets|geen)\b"
    texts = {**words("en").sentences, **translations("en")}
    assert [(key, text) for key, text in texts.items() if re.search(dutch, text, re.IGNORECASE)] == []
    assert re.search(dutch, words("nl")("desk.done.text")), "the check knows Dutch when it sees it"


def test_a_dutch_sentence_has_at_most_twelve_words() -> None:
    long = [
        (key, sentence)
        for key, text in words("nl").sentences.items()
        for sentence in sentences(text)
        if len(sentence.split()) > 12
    ]
    assert long == []


def test_no_hard_word_stands_on_a_dutch_page() -> None:
    hard = [
        (key, word)
        for key, text in words("nl").sentences.items()
        for word in HARD_WORDS
        if re.search(rf"\b{word}(en|s|'s)?\b", text, re.IGNORECASE)
    ]
    assert set(hard) == ALLOWED


def test_english_names_exist_for_the_whole_vocabulary() -> None:
    vocabulary = load_vocabulary()
    wanted = {f"kind.{kind.code}.{part}" for kind in vocabulary.kinds for part in ("label", "sentence")}
    wanted |= {
        f"purpose.{purpose.code}.{part}" for purpose in vocabulary.purposes for part in ("label", "sentence")
    }
    wanted |= {f"role.{role.code}" for role in vocabulary.roles}
    wanted |= {f"zrm.{area.code}" for area in vocabulary.zrm}
    assert wanted - set(translations("en")) == set()


def test_every_sentence_that_a_template_names_exists() -> None:
    known = words("nl").sentences
    missing = [
        (path.name, key)
        for folder in TEMPLATES
        for path in (ROOT / folder).rglob("*.html")
        for key in re.findall(r'\bt\("([a-z0-9_.]+)"\s*[,)]', path.read_text())
        if key not in known
    ]
    assert missing == []


def test_no_template_holds_words_of_its_own() -> None:
    own = []
    for folder in TEMPLATES:
        for path in (ROOT / folder).rglob("*.html"):
            text = re.sub(r"<style>.*?</style>|{#.*?#}|{%.*?%}|{{.*?}}", " ", path.read_text(), flags=re.S)
            text = re.sub(r"<[^>]*>", " ", text)
            own += [(path.name, word) for word in re.findall(r"[A-Za-zÀ-ÿ]{3,}", text)]
    assert own == []


def test_every_template_compiles() -> None:
    for folder in TEMPLATES:
        environment = jinja2.Environment(autoescape=True)
        for path in (ROOT / folder).rglob("*.html"):
            assert environment.parse(path.read_text()), path


def test_the_agreed_dutch_texts_stand_on_the_pages(shared: Path) -> None:
    spoken = " ".join(words("nl").sentences.values())
    text = (shared / "screens.md").read_text()
    states = text[text.index("States every screen has") : text.index("The refusal reason speaks")]
    agreed = [
        sentence
        for row in re.findall(r"^\| [a-z ()]+ \| ([^|]+) \|", states, re.M)
        for sentence in sentences(row.strip())
        if "{" not in sentence and sentence not in ("Nederlands", "---") and sentence not in NO_SCRIPT
    ]
    assert len(agreed) > 15
    assert [sentence for sentence in agreed if sentence not in spoken] == []


OTHER_WORDS = {
    "nog iemand toevoegen": "the same as its longer text, which is on the page",
    "schuldhulp, sinds maart 2025": "filled in by desk.answer.line",
    "persoon 1": "filled in by desk.answer.person",
    "persoon 2": "filled in by desk.answer.person",
    "het wijkteam mag zien dat u schuldhulp heeft: ja": "asked with the receiver's own name",
    "als u dit stopt, ziet het wijkteam dit niet meer": "said with the receiver's own name",
    "vanaf nu ziet het wijkteam dit niet meer": "said with the receiver's own name",
    "wij vragen {} om antwoord voor {}": "the organisation stands in the line above it",
    "de privacy-medewerker kijkt dit na binnen 5 werkdagen": "the days come from the limits",
    "vandaag 14 meldingen ingetrokken": "figures of the overview",
    "2 berichten wachten": "figures of the overview",
    "het veld einddatum ontbreekt": "filled in by source.repair",
    "vul de datum in": "filled in by source.repair",
    "de lijst is 40% korter dan gisteren": "filled in by source.import",
    "team noord keek 31 keer na 19.00 uur": "filled in by officer.patterns",
    "vergelijkbaar: 4": "filled in by officer.patterns",
    "steekproef november 2026: 25 keer bekeken": "filled in by officer.sample",
    "niets, omdat {}": "the reason is a sentence of its own, below `source.why`",
    "u trekt 1.204 meldingen in": "filled in by source.off.count",
    "12 keer meer te zien, 3 keer minder": "filled in by officer.rules.moved",
    "versie {} geldt sinds {}": "the list of versions says which one holds now, with its day and approvers",
    "u doet dit voor {}": "filled in by portal.whom.for_name",
}
"""Agreed sentences that stand on the pages in other words or with a value, and why."""
NOT_YET = {"P11"}
"""Screens of which a sentence is not in the text file: a command so far, or a page that brings its own."""


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\{[^}]*\}", "{}", text)).strip(" .?!:").lower()


def test_all_agreed_dutch_texts_are_in_the_text_file(shared: Path) -> None:
    """Every text in italics of screens.md, §2 to §8; what is missing is listed with its screen."""
    vocabulary = load_vocabulary()
    entries = [*vocabulary.purposes, *vocabulary.kinds, *vocabulary.roles, *vocabulary.zrm]
    entries += [*vocabulary.crisis.reason, *vocabulary.crisis.at_risk]
    spoken = " | ".join(plain(text) for text in words("nl").sentences.values())
    spoken += " | ".join(plain(entry.label) for entry in entries)
    text = (shared / "screens.md").read_text()
    body = re.sub(r"\n(?=[^|\n#-])", " ", text[text.index("## 2.") : text.index("## 9.")])
    missing, read = [], 0
    for line in body.splitlines():
        screen = re.match(r"\| ([DPSOX]\d{1,2}) ", line)
        for italic in re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", line):
            for said in re.split(r"(?<=[.?!])\s+|\s/\s", italic):
                read += 1
                if plain(said) and plain(said) not in spoken and plain(said) not in OTHER_WORDS:
                    missing.append((screen[1] if screen else line[:30], said))
    assert read > 150
    assert [(screen, said) for screen, said in missing if screen not in NOT_YET] == []
