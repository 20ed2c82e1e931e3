"""A faithful local Amigo API: one process, no network, every way to fail on demand."""

from bridge.sandbox.manual import FAULTS_HELP
from bridge.sandbox.options import SandboxOptions

__all__ = ["FAULTS_HELP", "SandboxOptions"]
