"""Who takes part in the demo: organisations, nodes, key holders, people. Only data and look-ups.

The municipality runs four nodes under one OIN; the debt helper, the youth care
provider and the portal are organisations of their own. Every name is invented.
"""

from dataclasses import dataclass

GEMEENTE = "00000009990000000101"
SCHULDHULP = "00000009990000000202"
JEUGDHULP = "00000009990000000303"
PORTAAL = "00000009990000000404"

HUB_ID = "hub.demo.vlagwijzer.example"
BROKER_ID = "inloggen-demo"
PORTAL_NODE = "portaal"
DESK_NODE = "wijkteam"
SOURCE_NODE = "schuldhulp"
DEFAULT_PORT_BASE = 8600
COUNTER_ROLE = "balie"
OFFICER_ROLE = "privacy_officer"
APPROVERS = ("olga", "otto", "ria")
"""Who may publish and approve rules, of whom the author is one."""
COUNTER_NAME = "Balie, Stadhuis Waterrijk"


@dataclass(frozen=True, slots=True)
class KindPlan:
    """A kind that an organisation publishes, with its neutral name and desk number."""

    kind: str
    name: str
    desk: str


@dataclass(frozen=True, slots=True)
class Organisation:
    number: int
    oin: str
    name: str
    class_: str
    kinds: tuple[KindPlan, ...] = ()
    teams: tuple[str, ...] = ()
    """Numbered from 1 in this order."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node; its port is the port base plus `offset`."""

    number: int
    id: str
    oin: str
    parts: tuple[str, ...]
    kinds: tuple[str, ...]
    classes: tuple[str, ...]
    scopes: tuple[str, ...]
    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Holder:
    index: int
    id: str
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider: one for each organisation with employees, one for citizens."""

    id: str
    offset: int


@dataclass(frozen=True, slots=True)
class Person:
    """An employee one can log in as. `page` is the key in `pages`."""

    name: str
    user: str
    role: str
    team: str
    node: str
    page: str
    issuer: str
    oin: str = ""
    """An officer at the hub: the organisation that the identity provider states."""


HUB_OFFSET = 0
ALL_SCOPES = ("geld", "werk", "zorg", "jeugd", "onderwijs", "veiligheid")

ORGANISATIONS = (
    Organisation(
        1,
        GEMEENTE,
        "Gemeente Waterrijk",
        "gemeente",
        (
            KindPlan("bijstand", "Gemeente Waterrijk, afdeling Inkomen", "14 000, keuze 1"),
            KindPlan("minima", "Gemeente Waterrijk, afdeling Inkomen", "14 000, keuze 1"),
            KindPlan("wmo_voorziening", "Gemeente Waterrijk, Wmo-loket", "14 000, keuze 2"),
            KindPlan("leerplicht", "Gemeente Waterrijk, afdeling Leerplicht", "14 000, keuze 3"),
        ),
        ("wijkteam-noord", "wijkteam-zuid", "inkomen", "wmo", "leerplicht", "crisisdienst"),
    ),
    Organisation(
        2,
        SCHULDHULP,
        "Schuldhulp Waterrijk",
        "hulpverlening",
        (KindPlan("schuldhulp", "Schuldhulp Waterrijk", "14 000, keuze 4"),),
        ("schuldhulp",),
    ),
    Organisation(
        3,
        JEUGDHULP,
        "Jeugdhulp Rivierenland",
        "hulpverlening",
        (KindPlan("jeugdhulp", "Jeugdhulp Rivierenland", "14 000, keuze 5"),),
        ("jeugd",),
    ),
    Organisation(
        4,
        PORTAAL,
        "Portaal van de inwoner",
        "portaal",
        tuple(
            KindPlan(kind, "Door de inwoner zelf gemeld", "")
            for kind in (
                "zelf_gemeld_geldzorgen",
                "zelf_gemeld_werk",
                "zelf_gemeld_mantelzorg",
                "zelf_gemeld_opvoeden",
            )
        ),
    ),
)

_SOURCE = ("publish", "lookup")
NODES = (
    Node(1, "schuldhulp", SCHULDHULP, ("source", "desk"), ("schuldhulp",), _SOURCE,
         ("geld", "werk", "zorg"), 20, "Schuldhulp Waterrijk"),
    Node(2, "werk-en-inkomen", GEMEENTE, ("source", "desk"), ("bijstand", "minima"), _SOURCE,
         ("geld", "werk"), 21, "Gemeente Waterrijk, Werk en Inkomen"),
    Node(3, "wmo", GEMEENTE, ("source",), ("wmo_voorziening",), ("publish",),
         ("zorg",), 22, "Gemeente Waterrijk, Wmo"),
    Node(4, "jeugdhulp", JEUGDHULP, ("source",), ("jeugdhulp",), ("publish",),
         ("jeugd",), 23, "Jeugdhulp Rivierenland"),
    Node(5, "leerplicht", GEMEENTE, ("source",), ("leerplicht",), ("publish",),
         ("onderwijs",), 24, "Gemeente Waterrijk, Leerplicht"),
    Node(6, DESK_NODE, GEMEENTE, ("desk",), (), ("lookup", "crisis"), ALL_SCOPES, 25, "Wijkteam Waterrijk"),
    Node(7, PORTAL_NODE, PORTAAL, ("portal",), (), ("publish", "citizen", "inzage"), ALL_SCOPES, 26,
         "Wie mag wat zien?"),
)  # fmt: skip

HOLDERS = (
    Holder(1, "ombudsman", "Ombudsman Waterrijk", 10),
    Holder(2, "waterschap", "Waterschap De Stroom", 11),
    Holder(3, "hogeschool", "Hogeschool Rivierenland", 12),
)
THRESHOLD = 2
WITNESSES = ("schuldhulp", "werk-en-inkomen", "jeugdhulp", PORTAL_NODE)
"""Nodes that confirm the log: one of each organisation."""
WITNESS_QUORUM = 3

CITIZEN_ISSUER = Issuer("inloggen", 1)
OFFICER_ISSUER = Issuer("toezicht", 5)
ISSUERS = (
    CITIZEN_ISSUER,
    Issuer("gemeente", 2),
    Issuer("schuldhulp", 3),
    Issuer("jeugdhulp", 4),
    OFFICER_ISSUER,
)

EMPLOYEES = (
    Person("Jan", "jan", "generalist", "wijkteam-noord", DESK_NODE, "desk", "gemeente"),
    Person("Aisha", "aisha", "generalist", "wijkteam-zuid", DESK_NODE, "desk", "gemeente"),
    Person("Carla", "carla", "crisisdienst", "crisisdienst", DESK_NODE, "desk", "gemeente"),
    Person("Sanne", "sanne", "inkomensconsulent", "inkomen", "werk-en-inkomen", "desk", "gemeente"),
    Person("Peter", "peter", "schuldhulpverlener", "schuldhulp", "schuldhulp", "desk", "schuldhulp"),
    Person("Bea", "bea", "bronbeheerder", "schuldhulp", "schuldhulp", "source", "schuldhulp"),
    Person("Wim", "wim", "bronbeheerder", "inkomen", "werk-en-inkomen", "source", "gemeente"),
    Person("Mo", "mo", "bronbeheerder", "wmo", "wmo", "source", "gemeente"),
    Person("Joke", "joke", "bronbeheerder", "jeugd", "jeugdhulp", "source", "jeugdhulp"),
    Person("Lies", "lies", "bronbeheerder", "leerplicht", "leerplicht", "source", "gemeente"),
    Person("Loes", "loes", COUNTER_ROLE, "", PORTAL_NODE, "portal", "inloggen"),
    Person("Olga", "olga", OFFICER_ROLE, "", "", "officer", "toezicht", GEMEENTE),
    Person("Otto", "otto", OFFICER_ROLE, "", "", "officer", "toezicht", SCHULDHULP),
    Person("Ria", "ria", OFFICER_ROLE, "", DESK_NODE, "officer", "gemeente"),
    Person("Stef", "stef", OFFICER_ROLE, "", "schuldhulp", "officer", "schuldhulp"),
)


def node(node_id: str) -> Node:
    """A node of the plan by its id."""
    return next(entry for entry in NODES if entry.id == node_id)


def organisation(oin: str) -> Organisation:
    """An organisation of the plan by its OIN."""
    return next(entry for entry in ORGANISATIONS if entry.oin == oin)


def issuer_of(oin: str) -> Issuer:
    """The identity provider of an organisation's employees; of citizens for the portal."""
    names = {GEMEENTE: "gemeente", SCHULDHULP: "schuldhulp", JEUGDHULP: "jeugdhulp", PORTAAL: "inloggen"}
    return next(entry for entry in ISSUERS if entry.id == names[oin])


def witness_name(node_id: str) -> str:
    """Name of a node's witness key."""
    return f"{node_id}.{HUB_ID}/witness"


def ports(base: int) -> dict[str, int]:
    """Every port of the demo by process: what must be free before anything starts."""
    return {
        "hub": base + HUB_OFFSET,
        **{f"identity {entry.id}": base + entry.offset for entry in ISSUERS},
        **{f"keyholder {entry.id}": base + entry.offset for entry in HOLDERS},
        **{f"node {entry.id}": base + entry.offset for entry in NODES},
    }


def url(base: int, offset: int) -> str:
    """Where people and systems reach a process. `localhost`, so that a browser takes Secure cookies."""
    return f"http://localhost:{base + offset}"


def loopback(base: int, offset: int) -> str:
    """Where processes reach each other: an address, so that nothing is looked up first."""
    return f"http://127.0.0.1:{base + offset}"
