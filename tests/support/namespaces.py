"""Mount namespaces for tests: of root's own, or of a user who is root in a namespace of his own."""

import os
import subprocess
from collections.abc import Sequence

AS_ROOT = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--"]
"""Goes in front of a command that takes the rights of root."""


def said(command: Sequence[str]) -> str:
    """The command's error output."""
    return subprocess.run(command, capture_output=True, text=True).stderr.strip()


REFUSAL = said([*AS_ROOT, "unshare", "--mount", "--propagation", "private", "--", "true"])
"""The kernel's words where it makes no mount namespace: in a chroot whose root is no mount, in most containers."""
