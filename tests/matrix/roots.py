"""Root folders of Debian releases: made by debootstrap, kept for the next run with what a row installed."""

import shutil
import subprocess
from pathlib import Path

from tests.matrix.room import Room

MIRRORS = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Label: Debian", "Created-By: Packages")
"""Prints the addresses of Debian that this machine itself uses."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
GIVEN = ("git", "python3")
"""What a machine with a clone of this project has; everything else is for ./dev to install."""
BROKER = "rabbitmq-server"
APT = "etc/apt/apt.conf.d/99amigo-bridge-matrix"
"""A mirror that stands still, as a snapshot does, is taken as it is."""
MADE = "var/lib/amigo-bridge-matrix"


class NoRoot(Exception):
    """A root could not be made; the message names the log."""


def own_mirror() -> str | None:
    """Where this machine takes its own Debian packages from; None where apt does not tell."""
    try:
        told = subprocess.run(MIRRORS, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return None
    return told[0].rstrip("/") if told else None


class Roots:
    """The roots below one folder; `log` gets what the tools say."""

    def __init__(self, folder: Path, mirror: str, log: Path) -> None:
        self.folder, self._mirror, self._log = folder, mirror, log

    def path(self, suite: str) -> Path:
        return self.folder / suite

    def make(self, suite: str, *, fresh: bool) -> None:
        """A bare system with Python and git; what there is already stays, unless `fresh`. Raises NoRoot."""
        root = self.path(suite)
        if (root / MADE).exists() and not fresh:
            return
        if fresh and root.exists():
            shutil.rmtree(root)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (root / "etc/debian_version").exists() or (root / "debootstrap").exists():
            options = ["--variant=minbase", f"--keyring={KEYRING}"]
            self._run(f"debootstrap of {suite}", ["debootstrap", *options, suite, str(root), self._mirror])
        (root / APT).write_text('Acquire::Check-Valid-Until "false";\n', encoding="ascii")
        self.install(suite, *GIVEN)
        (root / MADE).touch()

    def install(self, suite: str, *packages: str) -> None:
        """Install Debian packages as ./dev does. Raises NoRoot."""
        script = Path(__file__).resolve().parents[2] / "deploy" / "local" / "apt-install.sh"
        room = Room(self.path(suite), ((script, Path("/run/apt-install.sh")),))
        what = f"{' '.join(packages)} in {suite}"
        self._run(what, room.command("sh", "/run/apt-install.sh", *packages))

    def with_broker(self, suite: str) -> Path:
        """The root with RabbitMQ in it. Raises NoRoot."""
        root = self.path(suite)
        if not (root / "usr/lib/rabbitmq/bin/rabbitmq-server").exists():
            self.install(suite, BROKER)
        return root

    def _run(self, what: str, command: list[str]) -> None:
        with self._log.open("ab") as log:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if done.returncode:
            raise NoRoot(f"{what} failed with status {done.returncode}: see {self._log}")
