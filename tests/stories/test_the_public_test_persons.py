"""The whole flow on the public test persons of RvIG: leading zeros, households, people who died.

A source passes all of them on from its own list with its own column names;
desk and log then do with them what they do with anybody.
"""

import csv
import json
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.attacks.traces import search
from tests.federation import COMMAND, ROOT, Federation, eventually, start_federation

MAPPING = """
kind = "schuldhulp"
[columns]
bsn = "Burgerservicenummer"
local_ref = "Dossiernummer"
since = "Ingangsdatum"
until = "Einddatum"
"""


def the_import(federation: Federation, file: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    config = federation.folder / "nodes" / "schuldhulp" / "node.toml"
    return subprocess.run(
        [*COMMAND, "node", "import", str(file), "--config", str(config), "--json", *more],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )


def write_list(file: Path, numbers: list[str]) -> None:
    """A list as another system writes it: semicolons, Dutch dates, more columns than needed."""
    rows = [f"{number};SH-{place:04d};Jansen;15-03-2025;" for place, number in enumerate(numbers) if number]
    file.write_text(
        "\n".join(["Burgerservicenummer;Dossiernummer;Naam;Ingangsdatum;Einddatum", *rows]) + "\n"
    )


def test_all_public_test_persons_go_from_a_list_to_the_desk_and_leave_no_trace_at_the_hub(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("persons")
    with (shared / "persons.csv").open(newline="") as file:
        persons = list(csv.DictReader(file))
    numbers = [person["bsn"] for person in persons]
    households = defaultdict(list)
    for person in persons:
        if person["address_key"]:
            households[person["address_key"]].append(person["bsn"])
    household = next(members for members in households.values() if 3 <= len(members) <= 8)

    federation = start_federation(folder / "demo")
    try:
        node = federation.folder / "nodes" / "schuldhulp"
        (node / "mapping.toml").write_text(MAPPING)
        with (node / "node.toml").open("a") as settings:
            settings.write('\n[csv]\nmapping_file = "mapping.toml"\n')
        write_list(folder / "list.csv", numbers)

        refused = the_import(federation, folder / "list.csv")
        assert refused.returncode == 5, "a list in which all earlier rows are gone stops and asks"
        told = json.loads(the_import(federation, folder / "list.csv", "--dry-run").stdout)
        assert told["counts"]["publish"] == len(numbers) == 336
        assert told["stops"] is True
        done = the_import(federation, folder / "list.csv", "--confirm-shrink")
        assert done.returncode == 0, done.stderr
        eventually(lambda: federation.outbox("schuldhulp")["waiting"] == 0, 60)

        zero = next(number for number in numbers if number.startswith("0"))
        for number in (numbers[0], zero, numbers[-1]):
            assert "schuldhulp" in federation.kinds_seen("Peter", number, "schuldregeling")
        with federation.system("schuldhulp", "Peter") as system:
            clients = [{"bsn": number} for number in household]
            opened = system.post(
                "/v1/visits", json={"clients": clients, "purpose": "huisbezoek", "caseReference": "Z-GEZIN"}
            )
            seen = system.post("/v1/lookups", json={"visit": opened.json()["visit"]}).json()["persons"]
        assert [len(person["flags"]) for person in seen] == [1] * len(household)

        write_list(folder / "list.csv", ["" if number == zero else number for number in numbers])
        assert json.loads(the_import(federation, folder / "list.csv").stdout)["counts"]["retract"] == 1
        eventually(lambda: federation.outbox("schuldhulp")["waiting"] == 0, 60)
        assert federation.kinds_seen("Peter", zero, "schuldregeling") == []

        everybody = set(numbers) | {
            number for p in persons for number in (p["partner_bsn"], *p["child_bsns"].split()) if number
        }
        found = search(federation.folder / "hub", everybody)
        print(
            f"public persons: {len(everybody)} numbers, {found.bytes_scanned} bytes, {len(found.hits)} hits"
        )
        assert len(everybody) == 406
        assert found.hits == []
    finally:
        federation.stop()
