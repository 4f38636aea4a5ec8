"""The demo's BRP: a file in the form of the public web service's answer. Invented people only.

Source: `nodes.brp`.
"""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from .citizens import Citizen, World


def register_of(world: World) -> bytes:
    """Every citizen of the demo, children and parents with who has authority over whom."""
    records: list[dict[str, Any]] = []
    for _, home in groupby(world.citizens, key=lambda citizen: citizen.household):
        records += _household(world, list(home))
    return json.dumps({"personen": records}, indent=1).encode()


def _household(world: World, home: Sequence[Citizen]) -> list[dict[str, Any]]:
    relations = [
        (child, holders, _relation(child, holders))
        for child in home
        if child.age < 18 and (holders := world.holders_of(child))
    ]
    return [
        {
            "burgerservicenummer": citizen.bsn,
            "geboorte": {"datum": {"type": "Datum", "datum": citizen.birth_date.isoformat()}},
            "gezag": [relation for child, holders, relation in relations if citizen in (child, *holders)],
        }
        for citizen in home
    ]


def _relation(child: Citizen, holders: Sequence[Citizen]) -> dict[str, Any]:
    minor = {"burgerservicenummer": child.bsn}
    parents = [{"burgerservicenummer": holder.bsn} for holder in holders]
    if len(parents) == 1:
        return {"type": "EenhoofdigOuderlijkGezag", "minderjarige": minor, "ouder": parents[0]}
    return {"type": "GezamenlijkOuderlijkGezag", "minderjarige": minor, "ouders": parents}
