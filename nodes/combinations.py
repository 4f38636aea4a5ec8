"""Samenloop: subjects that together deserve attention, out of one answer that this node was given.

    answer about the persons of a visit -> which of the organisation's combinations are in it -> their names

The hub never learns of it: each scope has its own pseudonym there. Nothing is
kept; the next answer is worked out anew. A combination says no more than the
subjects that stand on the same page.

Source: docs/design/design.md, "Signals"; docs/design/policy-and-consent.md §4 S12.
"""

from collections.abc import Sequence

from .settings import CombinationSettings
from .visits import PersonView


def combined(settings: Sequence[CombinationSettings], persons: Sequence[PersonView]) -> list[str]:
    """Names of the combinations in an answer, in the order of the settings.

    Args:
        persons: Those of one answer; one that shows no subjects has none.
    """
    each = [{flag.kind for flag in person.flags} for person in persons]
    together: set[str] = set().union(*each)
    return [
        one.name
        for one in settings
        if (one.kinds <= together if one.over == "visit" else any(one.kinds <= own for own in each))
    ]
