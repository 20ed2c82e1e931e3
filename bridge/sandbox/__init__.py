"""A faithful local Amigo API: one process, no network, every way to fail on demand."""

from bridge.sandbox.options import SandboxOptions
from bridge.sandbox.script.manual import FAULTS_HELP

__all__ = ["FAULTS_HELP", "SandboxOptions"]
