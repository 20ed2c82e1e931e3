"""Mount namespaces for tests: of root's own, or of a user who is root in a namespace of his own."""

import os
import subprocess

import pytest

AS_ROOT = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--"]
"""Goes in front of a command that takes the rights of root."""


def _refusal() -> str:
    """What the kernel says against a mount namespace here; empty where it makes one."""
    command = [*AS_ROOT, "unshare", "--mount", "--propagation", "private", "--", "true"]
    return subprocess.run(command, capture_output=True, text=True).stderr.strip()


REFUSAL = _refusal()
needs_namespaces = pytest.mark.skipif(REFUSAL != "", reason=f"no mount namespace can be made here: {REFUSAL}")
"""In a chroot whose root is no mount point, and in most containers, the kernel makes none."""
