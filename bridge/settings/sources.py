"""The sources of the configuration: a YAML file with `${VAR}` in its values, and the environment over it.

Everything that is wrong is collected, with its path, so that it can be shown at once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

PREFIX = "BRIDGE_"
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
UNUSABLE = re.compile("[\x00\ud800-\udfff]")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

AMIGO_VARIABLES: Mapping[str, str] = {
    "AMIGO_API_KEY": "api_key",
    "AMIGO_API_KEY_ID": "api_key_id",
    "AMIGO_USER_ID": "user_id",
    "AMIGO_ORGANIZATION_ID": "organization_id",
    "AMIGO_BASE_URL": "base_url",
}


@dataclass(frozen=True, slots=True)
class SettingFault:
    """One thing that is wrong: `where` is the setting's path, the variable or the file; `section` None is the file."""

    section: str | None
    where: str
    wrong: str

    def __str__(self) -> str:
        return f"{self.where}: {self.wrong}"


@dataclass(slots=True)
class Found:
    """Nested values as they were found, not yet checked, and what went wrong in finding them."""

    values: dict[str, Any]
    faults: list[SettingFault] = field(default_factory=list)


def of_setting(path: str, wrong: str) -> SettingFault:
    """The fault of one setting; `path` has dots between its keys."""
    return SettingFault(path.partition(".")[0], path, wrong)


def read(path: Path | None, environment: Mapping[str, str], sections: frozenset[str]) -> Found:
    """`BRIDGE_…` over `AMIGO_…` over the file; `sections` are the names that a variable may begin with."""
    faults: list[SettingFault] = []
    values = _file(path, faults)
    try:
        values = _with_variables(values, "", environment, faults)
    except RecursionError:
        faults.append(SettingFault(None, str(path), "not YAML that ends: something in it contains itself"))
        values = {}
    values = _merged(values, _of_amigo(environment))
    values = _merged(values, _of_bridge(environment, sections, faults))
    _check_texts(values, "", faults)
    return Found(values, faults)


def _check_texts(value: Any, path: str, faults: list[SettingFault]) -> None:
    """NUL and halves of surrogate pairs are no text for files, headers or JSON, wherever they stand."""
    match value:
        case dict():
            for key, part in value.items():
                _check_texts(part, f"{path}.{key}" if path else str(key), faults)
        case list():
            for index, part in enumerate(value):
                _check_texts(part, f"{path}.{index}", faults)
        case str() if UNUSABLE.search(value):
            faults.append(of_setting(path, "it has a NUL, or a byte that is not UTF-8"))


def _value_of(env: Mapping[str, str], name: str) -> str | None:
    """A variable without the line break at its end: `VAR=$(cat file)` takes it off, other ways leave it there."""
    value = env.get(name)
    return value if value is None else value.rstrip("\r\n")


def _file(path: Path | None, faults: list[SettingFault]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        faults.append(SettingFault(None, str(path), f"cannot be read: {error}"))
        return {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = QUOTED.sub("…", str(getattr(error, "problem", "") or "it cannot be read"))  # it may quote a secret
        faults.append(SettingFault(None, f"{path}{where}", f"not YAML: {problem}"))
        return {}
    except (ValueError, TypeError, RecursionError) as error:  # a value that its tag or its form does not fit
        faults.append(SettingFault(None, str(path), f"not YAML: {type(error).__name__} in one of its values"))
        return {}
    if content is not None and not isinstance(content, dict):
        faults.append(SettingFault(None, str(path), "not a mapping of sections"))
    return content if isinstance(content, dict) else {}


def _with_variables(value: Any, path: str, env: Mapping[str, str], faults: list[SettingFault]) -> Any:
    match value:
        case dict():
            return {
                str(key): _with_variables(part, f"{path}.{key}" if path else str(key), env, faults)
                for key, part in value.items()
            }
        case list():
            return [_with_variables(part, f"{path}.{index}", env, faults) for index, part in enumerate(value)]
        case str():
            return VARIABLE.sub(lambda match: _variable(match, path, env, faults), value)
        case _:
            return value


def _variable(match: re.Match[str], path: str, env: Mapping[str, str], faults: list[SettingFault]) -> str:
    name, default = match[1], match[2]
    value = _value_of(env, name)
    if value is None and default is None:
        faults.append(of_setting(path, f"the variable {name} is not set"))
    return value or default or ""


def _of_amigo(env: Mapping[str, str]) -> dict[str, Any]:
    values = {field: value for name, field in AMIGO_VARIABLES.items() if (value := _value_of(env, name))}
    return {"amigo": values} if values else {}


def _of_bridge(env: Mapping[str, str], sections: frozenset[str], faults: list[SettingFault]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in sorted(env):
        if not name.startswith(PREFIX):
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        if path[0] in sections:
            _put(values, path, _decoded(_value_of(env, name) or ""))
        elif len(path) > 1:
            faults.append(SettingFault(path[0], name, f"there is no section {path[0]}"))
    return values


def _put(target: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        inner = target.get(key)
        target[key] = inner if isinstance(inner, dict) else {}
        target = target[key]
    target[path[-1]] = value


def _decoded(value: str) -> Any:
    """Lists and maps are written as JSON; anything else stays the text that it is."""
    if not value.startswith(("[", "{")):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result
