"""The services of one running node, made once at start and handed to routes and pages."""

from dataclasses import dataclass

from policy.vocabulary import Vocabulary

from .citizen import Citizens
from .settings import NodeKeys, NodeSettings
from .source import SourceDesk
from .visits import Visits


@dataclass(slots=True)
class NodeRuntime:
    """What a page or route may use. Also at `request.app.state.node`."""

    settings: NodeSettings
    keys: NodeKeys
    vocabulary: Vocabulary
    visits: Visits
    citizens: Citizens
    source: SourceDesk
