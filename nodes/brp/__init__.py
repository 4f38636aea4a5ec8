"""What the BRP says of a person: birth date, who has authority over a child, curatele, death.

    `Brp.persons` -> `BrpPerson` each, or nothing known; `BrpUnavailable` when it cannot be asked

Two ways behind one port: the public web service (`haal_centraal`) and a file in
its format (`register_file`), for a demo and for a node without connection.
Nothing is kept here: whoever asks keeps the answer no longer than one login.

Source: docs/design/policy-and-consent.md, "Representation and ages".
"""

from .haal_centraal import HaalCentraal
from .person import Authority, Brp, BrpPerson
from .register_file import RegisterFile

__all__ = ["Authority", "Brp", "BrpPerson", "HaalCentraal", "RegisterFile"]
