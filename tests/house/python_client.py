"""A Python client of the node, made from its OpenAPI document: `make client`, or with `--check` compared.

    python -m tests.house.python_client [--check]

One function per call and a `TypedDict` per body, standard library only. What a
schema says beyond types (patterns, lengths) is the node's to check.
"""

import json
import keyword
import re
import sys
from pathlib import Path
from typing import Any

from tests.house.openapi_documents import FOLDER

CLIENT = Path(__file__).parents[2] / "docs" / "clients" / "vlagwijzer_node.py"
_HEAD = '''"""Client of a Vlagwijzer node. Made from docs/api/openapi-node.json by `make client`; do not edit.

    node = Node("https://node.example", api_key, employee_token=fresh_token)
    visit = node.post_visits({"clients": [{"bsn": bsn}], "purpose": "huisbezoek", "caseReference": "Z-1"})

`employee_token` is called for each request that needs one. What the node
refuses is raised as `Problem`; it never holds what was sent.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypedDict


class Problem(Exception):
    """An answer that says no (RFC 9457)."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(f"{body.get('title')} ({body.get('status')}): {body.get('detail')}")
        self.body = body
'''
_CLASS = '''

class Node:
    """One node, for one calling system."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        employee_token: Callable[[], str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._url, self._key = url.rstrip("/"), api_key
        self._token, self._timeout = employee_token, timeout

    def _call(
        self, method: str, path: str, body: Any, *, person: bool, media: str = "application/json"
    ) -> Any:
        headers = {"X-API-Key": self._key, "Content-Type": media}
        if person:
            if self._token is None:
                raise ValueError("this call needs employee_token")
            headers["Authorization"] = f"Bearer {self._token()}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + "/v1" + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Problem(json.load(error)) from None
'''


def type_of(schema: dict[str, Any]) -> str:
    """The annotation of a schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return f"Literal[{', '.join(json.dumps(value) for value in schema['enum'])}]"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(type_of(part) for part in schema[several]))
    kind = schema.get("type")
    if kind == "array":
        return f"list[{type_of(schema.get('items', {}))}]"
    return {
        "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None",
        "object": "dict[str, Any]",
    }.get(str(kind), "Any")  # fmt: skip


def _struct(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    fields = [
        f"    {field}: {type_of(part) if field in required else f'NotRequired[{type_of(part)}]'}"
        for field, part in schema.get("properties", {}).items()
    ]
    return "\n".join([f"class {name}(TypedDict):", *(fields or ["    pass"])])


def _used(document: dict[str, Any], names: list[str]) -> list[str]:
    """Schemas that these lead to, each after those it needs."""
    found: list[str] = []
    for name in names:
        if name not in found:
            inner = re.findall(
                r'"#/components/schemas/(\w+)"', json.dumps(document["components"]["schemas"][name])
            )
            found += [one for one in _used(document, inner) if one not in found]
            found.append(name)
    return found


def _snake(name: str) -> str:
    made = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return f"{made}_" if keyword.iskeyword(made) else made


def _function(path: str, method: str, operation: dict[str, Any]) -> str:
    places = re.findall(r"\{(\w+)\}", path)
    arguments = ["self", *(f"{_snake(place)}: str" for place in places)]
    content = operation.get("requestBody", {}).get("content", {})
    media = next(iter(content), "")
    body = "None"
    if media:
        body = "body"
        arguments.append(f"body: {type_of(content[media]['schema']) if media.endswith('json') else 'bytes'}")
    address = path
    for place in places:
        address = address.replace(f"{{{place}}}", f"{{urllib.parse.quote({_snake(place)}, safe='')}}")
    answer = next(part for status, part in operation["responses"].items() if status.startswith("2"))
    returns = type_of(next(iter(answer["content"].values()))["schema"])
    person = any("employeeToken" in need for need in operation.get("security", ()))
    more = "" if media.endswith("json") or not media else f', media="{media}"'
    quoted = f'f"{address}"' if places else f'"{address}"'
    sent = f'"{method.upper()}", {quoted}, {body}, person={person}{more}'
    return (
        f"\n    def {_snake(operation['operationId'])}({', '.join(arguments)}) -> {returns}:\n"
        f'        """{operation["summary"]}. {operation["description"]}"""\n'
        f"        found: {returns} = self._call({sent})\n"
        f"        return found\n"
    )


def made(document: dict[str, Any]) -> str:
    """The text of the client."""
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post")
    ]
    functions = [_function(*one) for one in operations]
    text = "".join(functions)
    names = [name for name in document["components"]["schemas"] if re.search(rf"\b{name}\b", text)]
    structs = [_struct(name, document["components"]["schemas"][name]) for name in _used(document, names)]
    return _HEAD + "\n\n" + "\n\n\n".join(structs) + "\n" + _CLASS + text


def main(arguments: list[str]) -> int:
    text = made(json.loads((FOLDER / "openapi-node.json").read_text()))
    if "--check" in arguments:
        same = CLIENT.exists() and CLIENT.read_text() == text
        print("docs/clients is up to date" if same else "docs/clients is not what `make client` makes")
        return 0 if same else 1
    CLIENT.parent.mkdir(parents=True, exist_ok=True)
    CLIENT.write_text(text)
    print(CLIENT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
