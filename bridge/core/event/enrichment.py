"""Enrichments: what a route wants to be published of an answer beside the answer (docs/semantics.md, Enrichments)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

ENRICHMENT_FAILED = "bridge-enrichment-failed"
DEFAULT_ENRICH_FOR_S = 60.0


class EnrichmentKind(StrEnum):
    """The kinds, by their names in the configuration."""

    INSIGHTS = "insights"
    RECOMMENDED_RESPONSES = "recommended-responses"
    MESSAGE_SOURCE = "message-source"
    MESSAGES = "messages"


TYPES: Mapping[EnrichmentKind, str] = {
    EnrichmentKind.INSIGHTS: "interaction-insights",
    EnrichmentKind.RECOMMENDED_RESPONSES: "recommended-responses",
    EnrichmentKind.MESSAGE_SOURCE: "message-source",
    EnrichmentKind.MESSAGES: "conversation-messages",
}
"""The type under which each is published."""

LANE_WAITS_FOR = frozenset({EnrichmentKind.RECOMMENDED_RESPONSES})
"""Those that the API has only until somebody says more in the conversation, or finishes it."""


@dataclass(frozen=True, slots=True)
class Enrichment:
    """One entry of a route's `enrich`. `when` is an expression, `context` a template; both are compiled elsewhere."""

    kind: EnrichmentKind
    when: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class WantedEnrichment:
    """An enrichment that an event wants. `error` says why it cannot be had, where that is plain already."""

    kind: EnrichmentKind
    context: str | None = None
    error: str | None = None

    @property
    def type(self) -> str:
        """The type under which it is published."""
        return TYPES[self.kind]

    @property
    def holds_lane(self) -> bool:
        """True where it has to be read before anything else happens in the lane."""
        return self.kind in LANE_WAITS_FOR


def any_holds_lane(wanted: Sequence[WantedEnrichment]) -> bool:
    """True where one of them has to be read before the lane is free."""
    return any(one.holds_lane for one in wanted)
