"""Who may see what, and why. Knows no person.

    vocabulary + rules -> publish -> PolicyVersion -> decide

Start at `engine.publish`, which turns the vocabulary and the Cedar rules into
one immutable version with a table of Cedar's own answers, and at
`decide.decide`, which walks the decision table over that version. Nothing here
has a clock, a store or a network, and nothing asks whether a flag exists.

Source: docs/design/policy.md.
"""

from .decide import Asker, Circumstances, KindState, Outcome, decide, scopes_for
from .engine import PolicyVersion, PublishError, publish
from .vocabulary import Kind, UnknownCode, Vocabulary, VocabularyError, load_vocabulary

__all__ = [
    "Asker",
    "Circumstances",
    "Kind",
    "KindState",
    "Outcome",
    "PolicyVersion",
    "PublishError",
    "UnknownCode",
    "Vocabulary",
    "VocabularyError",
    "decide",
    "load_vocabulary",
    "publish",
    "scopes_for",
]
