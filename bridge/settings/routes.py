"""The configuration of routes: values, and templates that are checked when they are read."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from bridge.core.event.enrichment import Enrichment, EnrichmentKind
from bridge.core.event.event_fields import OnBusy
from bridge.core.event.route import Route
from bridge.core.event.user import DEFAULT_ROLE
from bridge.edges.jinja import check_expression, check_template
from bridge.settings.types import ChannelName, Duration, FinishWish, Hex24, Regex, Section, TagNames, VersionSets

Expression = Annotated[str, AfterValidator(check_expression)]
Template = Annotated[str, AfterValidator(check_template)]
TagTemplates = Annotated[dict[str, Template], TagNames]


class NewUserTemplates(Section):
    first_name: Template
    last_name: Template
    role_name: Template = DEFAULT_ROLE
    timezone: Template | None = None
    preferred_language: Template | None = None


class UserTemplates(Section):
    email: Template
    create: NewUserTemplates | None = None

    def templates(self) -> dict[str, str]:
        """The templates by their names."""
        create = {} if self.create is None else dict(self.create)
        return {
            "email": self.email,
            **{f"create.{name}": text for name, text in create.items() if text is not None},
        }


class EnrichSettings(Section):
    kind: EnrichmentKind
    when: Expression | None = None
    context: Template | None = None

    @model_validator(mode="after")
    def _context_is_used(self) -> "EnrichSettings":
        if self.context is not None and self.kind is not EnrichmentKind.RECOMMENDED_RESPONSES:
            raise ValueError(f"context is for {EnrichmentKind.RECOMMENDED_RESPONSES} alone")
        return self

    def enrichment(self) -> Enrichment:
        """The core's value."""
        return Enrichment(self.kind, self.when, self.context)


def _named(value: Any) -> Any:
    """A bare name stands for an enrichment of that kind."""
    return {"kind": value} if isinstance(value, str) else value


Enrichments = tuple[Annotated[EnrichSettings, BeforeValidator(_named)], ...]


class RouteSettings(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_. -]{1,100}$")]
    when: Expression | None = None
    service_id: Hex24 | None = None
    version_set: VersionSets | None = None
    channel: ChannelName | None = None
    user_id: Template | None = None
    user: UserTemplates | None = None
    message: Template | None = None
    tags: TagTemplates = Field(default_factory=dict)
    on_busy: OnBusy = OnBusy.INTERACT
    finish: FinishWish | None = None
    agent_actions: Regex | None = None
    enrich: Enrichments = ()
    max_wait: Annotated[Duration, Field(gt=0)] | None = None

    def route(self) -> Route:
        """The core's value for this route."""
        fields = dict(self)
        finish_s, max_wait_s, user = fields.pop("finish"), fields.pop("max_wait"), self.user
        by_email = {} if user is None else user.templates()
        enrich = tuple([one.enrichment() for one in self.enrich])
        more = {"tags": dict(self.tags), "user": by_email, "finish_s": finish_s, "max_wait_s": max_wait_s}
        more |= {"enrich": enrich}
        return Route(**{**fields, **more})

    @model_validator(mode="after")
    def _one_user(self) -> "RouteSettings":
        if self.user is not None and self.user_id is not None:
            raise ValueError("user_id and user exclude each other")
        return self

    @model_validator(mode="after")
    def _one_of_a_kind(self) -> "RouteSettings":
        kinds = [one.kind for one in self.enrich]
        twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise ValueError(f"enrich has this more than once: {', '.join(twice)}")
        return self
