"""The committed API documents are the ones that the code makes."""

import copy

import pytest

from tests.house import openapi_documents


def test_the_committed_documents_are_made_from_the_code() -> None:
    assert openapi_documents.main(["--check"]) == 0


def test_a_changed_document_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = copy.deepcopy(openapi_documents.made())
    changed["hub"]["paths"].popitem()
    monkeypatch.setattr(openapi_documents, "made", lambda: changed)
    assert openapi_documents.main(["--check"]) == 1


@pytest.mark.parametrize("process", ["hub", "node", "keyholder"])
def test_no_call_has_a_person_in_its_address(process: str) -> None:
    document = openapi_documents.made()[process]
    assert document["paths"]
    for path, item in document["paths"].items():
        assert "bsn" not in path.lower()
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                assert parameter["name"].lower() not in {"bsn", "person", "pseudonym"}
