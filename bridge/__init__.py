"""amigo-bridge: one event in from RabbitMQ, one conversation with an Amigo agent, its streamed answer out."""

from importlib import metadata

DISTRIBUTION = "amigo-bridge"


def version() -> str:
    """The version of the installed package; `unknown` where the sources run without having been installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
