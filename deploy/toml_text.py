"""Settings as TOML text. The standard library reads TOML and does not write it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec


def toml_text(settings: Mapping[str, Any], comment: str = "") -> str:
    """A TOML document: plain values first, then each mapping as a table.

    Args:
        settings: Text, numbers, booleans, paths, lists of these, and mappings of these.
        comment: One line at the top.
    """
    head = [f"# {comment}"] if comment else []
    return "\n".join([*head, *_table(settings, ())]) + "\n"


def _table(settings: Mapping[str, Any], above: tuple[str, ...]) -> list[str]:
    plain = [f"{key} = {_value(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    tables: list[str] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            path = (*above, key)
            tables += ["", f"[{'.'.join(_key(step) for step in path)}]", *_table(value, path)]
    return plain + tables


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _text(name)


def _text(value: str) -> str:
    # A JSON string is a TOML basic string: same escapes.
    return msgspec.json.encode(value).decode()


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str() | Path():
            return _text(str(value))
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
        case _:
            raise TypeError(f"TOML has no form for {type(value).__name__}")
