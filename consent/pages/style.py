"""The one style sheet of a process: the components, the design tokens, our own sheet; readable or not used.

    theme.css (Utrecht components, example theme) + our tokens + a municipality's one file + style.css

A municipality's file is read for design tokens only, so nothing else in it reaches a page. Text that could
not be read by everybody stops the process at start, with the two tokens to change.

Source: ecosystem.md §5; WCAG 2.2, success criteria 1.4.3 and 1.4.11 (contrast).
"""

import re
from collections.abc import Mapping
from colorsys import hls_to_rgb
from importlib.resources import files
from pathlib import Path

MOST_BYTES = 1024 * 1024
TEXT, EDGE = 4.5, 3.0
PAIRS = (
    ("--ink", "--paper", TEXT),
    ("--ink", "--ground", TEXT),
    ("--soft", "--paper", TEXT),
    ("--soft", "--ground", TEXT),
    ("--heading", "--paper", TEXT),
    ("--heading", "--ground", TEXT),
    ("--link", "--paper", TEXT),
    ("--link", "--ground", TEXT),
    ("--on-brand", "--brand", TEXT),
    ("--on-brand", "--brand-deep", TEXT),
    ("--brand", "--paper", TEXT),
    ("--brand-deep", "--ground", TEXT),
    ("--good", "--good-ground", TEXT),
    ("--warn", "--warn-ground", TEXT),
    ("--bad", "--bad-ground", TEXT),
    ("--bad", "--paper", TEXT),
    ("--on-focus", "--focus", TEXT),
    ("--on-focus", "--paper", EDGE),
)
"""Letters and ground that stand on each other in style.css, and the least contrast of each."""

_TOKEN = re.compile(r"(--[A-Za-z0-9_-]+)\s*:\s*([^;{}]+)")
_UNSAFE = re.compile(r"[<>@\\]|url\(|image\(|image-set\(|expression\(|//", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_NAMES = {"white": "#ffffff", "black": "#000000"}


class TokensWrong(ValueError):
    """The file with design tokens cannot be used. Says which tokens, and why."""


def sheet(tokens_file: Path | None = None) -> bytes:
    """The style sheet, as it is served.

    Args:
        tokens_file: CSS with custom properties, such as an NL Design System theme; absent: ours.

    Raises:
        TokensWrong: The file cannot be read, has no design tokens or one that could fetch something, or gives
            text too little contrast.
    """
    theme, style = _packaged("theme.css"), _packaged("style.css")
    tokens = design_tokens(_packaged("tokens.css"))
    if tokens_file is not None:
        own = design_tokens(_read(tokens_file))
        if not own:
            raise TokensWrong(f"{tokens_file.name}: no design tokens in it")
        tokens.update(own)
    used = _used(theme + style, tokens)
    if unsafe := [name for name, value in used.items() if _UNSAFE.search(value)]:
        raise TokensWrong(f"{', '.join(unsafe)}: this value is not taken in a file with design tokens")
    if wrong := unreadable({**design_tokens(theme), **design_tokens(style), **tokens}):
        raise TokensWrong("; ".join(wrong))
    lines = "".join(f"  {name}: {value};\n" for name, value in used.items())
    return f"{theme}\n:root {{\n{lines}}}\n\n{style}".encode()


def design_tokens(css: str) -> dict[str, str]:
    """Custom properties of a style sheet by name, the last of each; rules and selectors are passed over."""
    return {name: value.strip() for name, value in _TOKEN.findall(_COMMENT.sub("", css))}


def unreadable(tokens: Mapping[str, str]) -> list[str]:
    """Each pair of colours with too little contrast, as a sentence for who made the file."""
    wrong = []
    for letters, ground, least in PAIRS:
        try:
            found = contrast(_resolved(letters, tokens), _resolved(ground, tokens))
        except TokensWrong as error:
            wrong.append(str(error))
            continue
        if found < least:
            named = f"{_origin(letters, tokens)} on {_origin(ground, tokens)}"
            wrong.append(f"{named}: contrast {found:.2f}, at least {least} is needed")
    return wrong


def contrast(one: str, other: str) -> float:
    """How far apart two colours are, from 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _parts(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parts(colour: str) -> tuple[float, ...]:
    """Red, green and blue from 0 to 1; only colours that cover what is below them."""
    text = _NAMES.get(colour.lower(), colour.lower())
    if found := re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", text):
        digits = found[1] if len(found[1]) == 6 else "".join(one * 2 for one in found[1])
        return tuple(int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    if found := re.fullmatch(r"rgb\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*\)", text):
        return tuple(min(int(part), 255) / 255 for part in found.groups())
    if found := re.fullmatch(r"hsl\(\s*([\d.]+)(?:deg)?[\s,]+([\d.]+)%[\s,]+([\d.]+)%\s*\)", text):
        hue, saturation, lightness = (float(part) for part in found.groups())
        return hls_to_rgb(hue / 360 % 1, lightness / 100, saturation / 100)
    raise TokensWrong(f"{colour}: write this colour as #rrggbb, rgb() or hsl(), for its contrast is checked")


def _resolved(name: str, tokens: Mapping[str, str], depth: int = 0) -> str:
    """The value behind a token that names another, and so on."""
    value = tokens.get(name, "")
    if not value or depth > 20:
        raise TokensWrong(f"{name}: has no value")
    if found := re.fullmatch(r"var\(\s*(--[\w-]+)\s*(?:,\s*(.+))?\)", value):
        if found[1] not in tokens and found[2]:
            return found[2].strip()
        return _resolved(found[1], tokens, depth + 1)
    return value


def _origin(name: str, tokens: Mapping[str, str]) -> str:
    """The design token that holds the value which a name of ours stands for."""
    while (found := re.fullmatch(r"var\(\s*(--[\w-]+)\s*(?:,.+)?\)", tokens[name])) and found[1] in tokens:
        name = found[1]
    return name


def _used(css: str, tokens: Mapping[str, str]) -> dict[str, str]:
    """The tokens that the sheets read, and those that these name: a whole theme has thousands."""
    used: dict[str, str] = {}
    to_do = re.findall(r"--[\w-]+", css)
    while to_do:
        name = to_do.pop()
        if name in tokens and name not in used:
            used[name] = tokens[name]
            to_do += re.findall(r"--[\w-]+", tokens[name])
    return dict(sorted(used.items()))


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TokensWrong(f"{path.name}: larger than 1 MB")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokensWrong(f"{path.name}: cannot be read ({type(error).__name__})") from None


def _packaged(name: str) -> str:
    return (files("consent.pages") / "static" / name).read_text(encoding="utf-8")
