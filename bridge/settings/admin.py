"""The sections `admin` and `control`: who may look at the service and steer it."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from bridge.core.control.access import Role
from bridge.settings.types import Listen, Section, header_secret

SHORTEST_TOKEN = 32
TOKEN_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def _token(value: SecretStr) -> SecretStr:
    text = header_secret(value).get_secret_value()
    if len(text) < SHORTEST_TOKEN:
        raise ValueError(f"shorter than {SHORTEST_TOKEN} characters")
    if " " in text:
        raise ValueError("it has a blank inside")
    return SecretStr(text)


AdminToken = Annotated[SecretStr, AfterValidator(_token)]


class TokenSettings(Section):
    token: AdminToken
    role: Role


class AdminSettings(Section):
    listen: Listen = "127.0.0.1:8081"
    tokens: dict[str, TokenSettings] = Field(default={})

    @model_validator(mode="after")
    def _consistent(self) -> "AdminSettings":
        wrong = [name for name in self.tokens if TOKEN_NAME.fullmatch(name) is None]
        if wrong:
            raise ValueError(f"tokens: {len(wrong)} of the names are not of the form {TOKEN_NAME.pattern}")
        tokens = [each.token.get_secret_value() for each in self.tokens.values()]
        if len(set(tokens)) != len(tokens):
            raise ValueError("tokens: two of them are the same")
        return self


class ControlSettings(Section):
    users: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = ()
