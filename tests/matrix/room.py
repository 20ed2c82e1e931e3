"""A command in a root folder, in namespaces of its own: when it ends, however it ends, no process and no mount is left.

The processes belong to a process namespace, which the kernel ends as a whole when its first process or `unshare` ends;
the mounts belong to a mount namespace, which goes with its last process. The network is the machine's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Of the machine, where they are there: what a program needs to reach the package indexes as this machine does.
FROM_THE_MACHINE = (
    Path("/etc/resolv.conf"),
    Path("/etc/hosts"),
    Path("/etc/pip.conf"),
)
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
AUTHORITIES_INSIDE = Path("/srv/authorities-of-the-machine.crt")
"""Not in its place, where the root's own package writes."""

# The command is not the first process itself: that one has to reap what others leave behind, as a shell does.
# The root becomes a mount of its own, because a mount namespace can be entered only from a root that is one.
ENTER = """\
set -eu
root=$1
shift
if [ "$root" = / ]; then
    mount -t proc proc /proc
else
    mount --rbind "$root" "$root"
    mount -t proc proc "$root/proc"
    for place in dev sys; do mount --rbind "/$place" "$root/$place"; done
fi
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then
        mkdir -p "$root$2"
    else
        mkdir -p "$(dirname "$root$2")"
        [ -e "$root$2" ] || : >"$root$2"
    fi
    mount --bind "$1" "$root$2"
    shift 2
done
shift
chroot "$root" /bin/sh -c '"$@"; exit "$?"' sh "$@"
exit "$?"
"""


@dataclass(frozen=True)
class Room:
    """A root folder, / for the machine itself, with files and folders of the machine at other places in it."""

    root: Path
    binds: Sequence[tuple[Path, Path]] = ()

    def command(self, *command: str) -> list[str]:
        """What runs the command in here."""
        namespaces = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
        pairs = [str(path) for pair in self._all_binds() for path in pair]
        return ["unshare", *namespaces, "--", "/bin/sh", "-c", ENTER, "enter", str(self.root), *pairs, "--", *command]

    def _all_binds(self) -> Sequence[tuple[Path, Path]]:
        if self.root == Path("/"):
            return self.binds
        shared = {**{path: path for path in FROM_THE_MACHINE}, AUTHORITIES: AUTHORITIES_INSIDE}
        return (*((path.resolve(), inside) for path, inside in shared.items() if path.exists()), *self.binds)
