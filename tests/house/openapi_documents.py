"""Write or compare the committed OpenAPI documents: `python -m tests.house.openapi_documents [--check]`."""

import json
import sys
from pathlib import Path
from typing import Any

import index.api_document
import nodes.api_document
import nodes.keyholder.app

FOLDER = Path(__file__).parents[2] / "docs" / "api"
PROCESSES = {
    "hub": index.api_document.openapi,
    "node": nodes.api_document.openapi,
    "keyholder": nodes.keyholder.app.openapi_document,
}


def made() -> dict[str, dict[str, Any]]:
    """The documents as the code makes them now, by process."""
    return {name: make() for name, make in PROCESSES.items()}


def main(arguments: list[str]) -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    wrong = []
    for name, document in made().items():
        path = FOLDER / f"openapi-{name}.json"
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        if "--check" in arguments:
            if not path.exists() or path.read_text() != text:
                wrong.append(path.name)
        else:
            path.write_text(text)
    if wrong:
        print(f"OpenAPI: {', '.join(wrong)} differ from the code; run: make openapi", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
