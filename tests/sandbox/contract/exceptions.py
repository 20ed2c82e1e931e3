"""Where the service is known to answer otherwise than the published schemas say, each with its reason."""

import re
from dataclasses import dataclass

from tests.sandbox.contract.cases import Case


@dataclass(frozen=True)
class KnownException:
    """`case` is matched by the whole id of a test; `status` is answered instead."""

    case: str
    status: int
    reason: str


_VALUE = r"(\[\])?=(list|one-item|an-item-twice|text|empty-text|empty-list) taken"
EXCEPTIONS = (
    KnownException(
        f".* query sort_by{_VALUE}",
        422,
        "The schema takes any text; its description names the fields, each after + or -.",
    ),
    KnownException(
        f"(get-conversations query tag|get-services query tags){_VALUE}",
        422,
        "The schema takes any text; its description wants key:value.",
    ),
    KnownException(
        "interact-with-conversation query (request_audio_config=null-spoken|request_format=voice) taken",
        422,
        "The description calls it required with voice.",
    ),
    KnownException(
        r"create-conversation body initial_message(_type)?=null taken",
        422,
        "The description of the type: only where there is a message; both or neither.",
    ),
    KnownException(
        r"interact-with-conversation form (user-message|external-event).recorded_message=(empty-text|0-characters) 422",
        400,
        "An empty message is a published reason for 400.",
    ),
    KnownException(
        "(create-conversation|generate-conversation-starter) body service_version_set_name=empty-text taken",
        404,
        "There is no rule of length, and no version set of this name.",
    ),
    KnownException(
        "create-invited-user body role_name=(text|empty-text) taken",
        404,
        "There is no rule for it, and no role of this name.",
    ),
    KnownException(
        r"update-user-info body audio_keyterms(\[\]=(empty-text|0-characters|Beta|one two three four)|=21-items) 422",
        204,
        "An update takes what a create takes, and that has no rule for keyterms.",
    ),
)


def exceptions(case: Case) -> list[KnownException]:
    """Those that the case falls under: none or one."""
    return [known for known in EXCEPTIONS if re.fullmatch(known.case, case.name)]
