"""`./dev newest`: does the bridge work with the newest of everything? A report, not a gate.

The newest release of each package, past the caps of pyproject.toml and past the locks, goes into an environment of its
own, made anew each time; what those packages demand of each other is heeded. Then the suites run that notice a library
that has changed. The exit status is 0 whatever they say, and 1 only where they could not be run at all.
"""

import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".local" / "newest-venv"
RESULTS = ROOT / ".local" / "newest.xml"
SUITES = (
    "tests/promises",
    "tests/edges/rabbitmq/test_properties.py",
    "tests/edges/rabbitmq/test_connection.py",
    "tests/edges/rabbitmq/publishing/test_frames.py",
    "tests/edges/http/test_half_closed.py",
    "tests/edges/http/test_malformed.py",
    "tests/edges/amigo/test_streams.py",
    "tests/edges/jinja/test_routes.py",
)
"""The promises of the ports, against the real edges; and what is quick of the tests around private members."""
LIMIT_S = 1800
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extra>\[[^\]]*\])?(?P<bounds>[^;]*)(?P<marker>;.*)?")
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", re.MULTILINE)


class NotRun(Exception):
    """The newest versions could not be tried at all."""


@dataclass(frozen=True)
class Version:
    """One package: what is locked, what is newest, and the bounds that the project sets."""

    package: str
    locked: str | None
    newest: str
    bounds: str


@dataclass(frozen=True)
class Result:
    """What became of the tests; `failed` names them."""

    count: int
    failed: Sequence[str]


def main() -> int:
    if any(argument in ("-h", "--help") for argument in sys.argv[1:]):
        print(__doc__)
        return 0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    try:
        install(requirements)
        versions = compared(requirements, locked(), installed())
        imported = said_at_import()
        result = None if imported else tested()
    except NotRun as error:
        print(f"newest: could not be run: {error}", file=sys.stderr)
        return 1
    print("\n".join(report(versions, imported, result)))
    return 0


def unbounded(requirement: str) -> str:
    """The requirement without its bounds: a name, with its extra and its marker."""
    match = REQUIREMENT.fullmatch(requirement)
    if match is None:
        raise ValueError(f"no requirement: {requirement}")
    return f"{match['name']}{match['extra'] or ''}{match['marker'] or ''}"


def install(requirements: Iterable[str]) -> None:
    """Make the environment anew. Raises NotRun."""
    print(f"· creating {ENVIRONMENT.relative_to(ROOT)}, with the newest of every package", flush=True)
    run(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
    pip("install", "--upgrade", "--upgrade-strategy", "eager", *map(unbounded, requirements))
    pip("install", "--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def locked() -> dict[str, str]:
    """The versions of the test lock, by package."""
    return dict(PIN.findall((ROOT / "tests" / "requirements.lock").read_text(encoding="utf-8")))


def installed() -> dict[str, str]:
    """The versions in the environment, by package. Raises NotRun."""
    found = dict(re.findall(r"^([^=\s]+)==(\S+)$", pip("list", "--format=freeze").lower(), re.MULTILINE))
    if not found:
        raise NotRun("pip lists no package")
    return {name.replace("_", "-"): version for name, version in found.items()}


def compared(requirements: Iterable[str], lock: Mapping[str, str], newest: Mapping[str, str]) -> list[Version]:
    """Each package that is newer than locked, and each of the project's own; in the order of their names."""
    matches = [match for requirement in requirements if (match := REQUIREMENT.fullmatch(requirement))]
    bounds = {match["name"].lower(): match["bounds"].strip() for match in matches}
    names = {name for name in newest if name in bounds or newest[name] != lock.get(name)}
    return [Version(name, lock.get(name), newest[name], bounds.get(name, "")) for name in sorted(names & lock.keys())]


def said_at_import() -> str:
    """The error with which the bridge's import ends; empty where it ends well."""
    imports = "import bridge.cli.run, bridge.cli.check, bridge.cli.sandbox, bridge.cli.webhooks, bridge.cli.history"
    done = subprocess.run([python(), "-c", imports], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def tested() -> Result:
    """Run the suites. Raises NotRun where pytest gives no results."""
    RESULTS.unlink(missing_ok=True)
    print(f"· pytest {' '.join(SUITES)}", flush=True)
    options = ("-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", f"--junitxml={RESULTS}")
    try:
        subprocess.run([python(), "-m", "pytest", *options, *SUITES], cwd=ROOT, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotRun(f"the tests did not end within {LIMIT_S} s") from None
    if not RESULTS.is_file():
        raise NotRun("pytest wrote no results")
    return results(RESULTS.read_text(encoding="utf-8"))


def results(junit: str) -> Result:
    """What pytest's JUnit file tells. Raises NotRun where there was no test."""
    cases = list(ET.fromstring(junit).iter("testcase"))
    if not cases:
        raise NotRun("pytest found no test")
    failed = [
        f"{case.get('classname', '')}::{case.get('name', '')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return Result(len(cases), failed)


def report(versions: Sequence[Version], imported: str, result: Result | None) -> list[str]:
    """The lines of the report. `imported` is what the import has ended with, `result` None where that was an error."""
    rows = [("package", "locked", "newest", "bounds")]
    rows += [(row.package, row.locked or "-", row.newest, row.bounds) for row in versions]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["", "The newest of everything", ""]
    for package, lock, newest, bounds in rows:
        mark = "*" if lock not in ("-", "locked", newest) else " "
        lines.append(f"{mark} {package:{widths[0]}}  {lock:{widths[1]}}  {newest:{widths[2]}}  {bounds}".rstrip())
    lines += ["", "* newer than the lock", ""]
    if result is None:
        return [*lines, f"The bridge cannot be imported with them: {imported}"]
    passed = result.count - len(result.failed)
    lines.append(f"{passed} of {result.count} tests passed, {len(result.failed)} failed")
    return [*lines, *(f"  failed: {name}" for name in result.failed)]


def python() -> str:
    return str(ENVIRONMENT / "bin" / "python")


def pip(*arguments: str) -> str:
    return run(python(), "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments)


def run(*command: str) -> str:
    """What the command prints. Raises NotRun."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise NotRun(f"{' '.join(command)}: no end within {LIMIT_S} s") from None
    if done.returncode:
        raise NotRun(f"{' '.join(command)}: status {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
