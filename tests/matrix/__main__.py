"""Every supported RabbitMQ with every supported Python, each in a Debian that has it: a table.

It takes the rights of root (debootstrap, chroot, mounts). A row runs `./dev test` in a copy of this checkout, and then
tries a wheel of it, installed with plain pip. Roots are kept for the next run. The table tells the latest run of every
row that has been run.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.broker_root import VARIABLE
from deploy.local.child import Child
from tests.matrix import checkout, report
from tests.matrix.report import Result, Step
from tests.matrix.room import AUTHORITIES, AUTHORITIES_INSIDE, Room
from tests.matrix.roots import NoRoot, Roots, own_mirror
from tests.matrix.rows import HERE, ROWS, Row, chosen

OUT = checkout.ROOT / ".local" / "matrix"
ROOTS = Path("/var/tmp/matrix")
COPY = Path("/srv") / checkout.ROOT.name
BROKER_ROOT = Path("/srv/broker-root")
PASSED_ON = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
STEPS = ("suite", "wheel")


def main() -> int:
    """The exit status: 0 where every chosen row is good, 1 otherwise."""
    options = _options()
    if os.geteuid() != 0:
        print(
            "dev matrix: it takes the rights of root (debootstrap, chroot, mounts): sudo ./dev matrix", file=sys.stderr
        )
        return 1
    command = "./dev matrix " + " ".join(sys.argv[1:])
    results = []
    for number, row in enumerate(options.rows, 1):
        _say(f"[{number}/{len(options.rows)}] {row.name}: {row.title}")
        result = Result(row.name, checkout.commit(), time.strftime("%Y-%m-%d"), command.strip())
        _row(row, result, options)
        result.save(options.out / "rows")
        results.append(result)
        _say(f"        {report.line(result)}; logs in {options.out / row.name}")
    table = report.markdown(report.kept(options.out / "rows"))
    (options.out / "matrix.md").write_text(table, encoding="utf-8")
    print(f"\n{table}\nwritten to {options.out / 'matrix.md'}")
    return 0 if all(result.good for result in results) else 1


def _row(row: Row, result: Result, options: argparse.Namespace) -> None:
    logs = options.out / row.name
    logs.mkdir(parents=True, exist_ok=True)
    roots = Roots(options.roots, options.mirror, logs / "roots.log")
    try:
        for suite in row.roots:
            roots.make(suite, fresh=options.fresh)
        place = Place(row, roots)
        for step in options.steps:
            arguments = ("./dev", "test", *options.suite) if step == "suite" else (".venv/bin/python", "-m", WHEEL)
            done = _step(step, place.command(*arguments), place, logs / f"{step}.log")
            if step == "suite" and options.suite:
                done.said = f"of `{' '.join(options.suite)}`: {done.said}"
            result.steps.append(done)
        result.python, result.rabbitmq = place.python(), place.rabbitmq()
    except (NoRoot, OSError, subprocess.SubprocessError) as error:
        result.trouble = f"{type(error).__name__}: {error}"


WHEEL = "tests.matrix.wheel"


class Place:
    """Where a row's commands run: in a root with a copy of the checkout, or in this checkout itself."""

    def __init__(self, row: Row, roots: Roots) -> None:
        self._here, self._root = row.system == HERE, Path("/")
        binds: list[tuple[Path, Path]] = []
        if not self._here:
            self._root = roots.path(row.system)
            checkout.copy_to(self._root / COPY.relative_to("/"))
        self._variables: dict[str, str] = {}
        self._broker = roots.path(row.broker) if row.broker != HERE else Path("/")
        if row.broker != row.system:
            roots.with_broker(row.broker)
            inside = self._broker if self._here else BROKER_ROOT
            self._variables[VARIABLE] = str(inside)
            binds += [] if self._here else [(self._broker, inside)]
        self._room = Room(self._root, binds)

    def command(self, *command: str) -> list[str]:
        folder = checkout.ROOT if self._here else COPY
        return self._room.command("sh", "-c", 'cd "$0" && exec "$@"', str(folder), *command)

    def environment(self) -> dict[str, str]:
        if self._here:
            return {**os.environ, **self._variables}
        kept = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        for name in [name for name in kept if name.endswith("_LINKS")]:
            del kept[name]  # a folder of this machine
        if AUTHORITIES.exists():
            kept["PIP_CERT"] = str(AUTHORITIES_INSIDE)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {**kept, "PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **self._variables}

    def python(self) -> str:
        command = self.command(".venv/bin/python", "--version")
        return subprocess.check_output(command, env=self.environment(), text=True).split()[-1]

    def rabbitmq(self) -> str:
        """The version that the programs of the broker's root have in their path."""
        servers = (self._broker / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
        return ", ".join(sorted(server.name.partition("-")[2] for server in servers))


def _step(name: str, command: list[str], place: Place, log: Path) -> Step:
    """Run it to its end; whatever ends this process ends it too."""
    log.unlink(missing_ok=True)
    _say(f"        {name} …")
    started_s = time.monotonic()
    with Child(command, log=log, env=place.environment(), cwd=checkout.ROOT) as child:
        while (status := child.exit_status) is None:
            time.sleep(0.5)
    output = log.read_text(encoding="utf-8", errors="replace")
    said = report.counts(output) if name == "suite" else ("works" if status == 0 else "")
    return Step(name, status, said or f"status {status}", time.monotonic() - started_s)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def _options() -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(
        prog="dev matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only these rows; all where none is named")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--only", action="append", choices=STEPS, help="only this step of each row: suite or wheel")
    parser.add_argument(
        "--suite", nargs=argparse.REMAINDER, default=[], help="what ./dev test is given; must come last"
    )
    parser.add_argument("--fresh", action="store_true", help="make the roots of these rows anew, bare")
    parser.add_argument("--roots", type=Path, default=ROOTS, help=f"folder of the root folders ({ROOTS})")
    parser.add_argument("--mirror", default=own_mirror(), help="of Debian (the one that this machine itself uses)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for the table, results and logs ({OUT})")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{row.name:18} {row.title}" for row in ROWS))
        sys.exit(0)
    if unknown := set(options.rows) - set(names):
        parser.error(f"no row {', '.join(sorted(unknown))}: choose from {', '.join(names)}")
    if options.mirror is None:
        parser.error("apt does not say where this machine's packages come from: give --mirror")
    options.rows = chosen(options.rows)
    options.steps = options.only or STEPS
    options.roots, options.out = options.roots.resolve(), options.out.resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
