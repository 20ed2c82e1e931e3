"""The folder that RabbitMQ's programs come from: this machine's own /, or a root of another Debian by debootstrap.

BRIDGE_TEST_BROKER_ROOT=/path/of/root names it, for tests against another version of RabbitMQ. Entering a root takes the
rights of root. The program sees the root, and its node's folder under the path that it has outside. All mounts belong
to a mount namespace of the program's own: whatever ends it, none is left. One exec follows the other, so the process
that was started becomes the program.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

VARIABLE = "BRIDGE_TEST_BROKER_ROOT"
MACHINE = Path("/")

# A mount point below /tmp is made on a tmpfs of the namespace, so that no empty folder stays behind in the root.
ENTER = """\
set -eu
root=$1 folder=$2
shift 2
for place in dev proc sys; do mount --rbind "/$place" "$root/$place"; done
case $folder in /tmp/*) mount -t tmpfs -o mode=1777 tmpfs "$root/tmp" ;; esac
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"""


class NoRoot(Exception):
    """The folder that was named cannot be entered; the message says why."""


@dataclass(frozen=True)
class BrokerRoot:
    """Where programs are looked up and run."""

    path: Path = MACHINE

    @classmethod
    def chosen(cls) -> Self:
        """The one that the environment names, else this machine's own. Raises NoRoot."""
        named = os.environ.get(VARIABLE, "")
        if not named:
            return cls()
        if os.geteuid() != 0:
            raise NoRoot(f"{VARIABLE} is set: running a broker in {named} takes the rights of root")
        path = Path(named)
        if not path.is_absolute() or not (path / "bin").exists():
            raise NoRoot(f"{VARIABLE}={named} is not the absolute path of a root folder")
        return cls(path.resolve())

    def outside(self, program: Path) -> Path:
        """The path by which this process can look at a program of the root."""
        return self.path / program.relative_to("/")

    def inside(self, path: Path) -> Path:
        """The path by which a program that runs in the root finds what this process finds by the given one."""
        return MACHINE / path.relative_to(self.path)

    def command(self, folder: Path, program: Path, *arguments: str) -> Sequence[str]:
        """What runs the program in this folder."""
        if self.path == MACHINE:
            return [str(program), *arguments]
        enter = ("unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c", ENTER, "enter")
        return [*enter, str(self.path), str(folder), str(program), *arguments]
