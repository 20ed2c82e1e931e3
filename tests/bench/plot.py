"""The plot: what an event and a stream cost, against the number of open streams."""

from pathlib import Path

from matplotlib.figure import Figure

from tests.bench.figures import Results
from tests.bench.report import TITLES

PANELS = (("cpu_us", 1.0, "CPU per event, µs"), ("bytes_per_stream", 1e-3, "memory per open stream, KB"))


def plot(results: Results, path: Path, subtitle: str) -> None:
    """Write an SVG with two panels; medians as lines, ranges as bars."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, len(PANELS))
    for axis, (field, scale, title) in zip(axes, PANELS, strict=True):
        for name in results.contestants("streams"):
            levels = results.levels(name)
            spreads = [results.at_level(name, level, field) for level in levels]
            known = [(level, spread) for level, spread in zip(levels, spreads, strict=True) if spread is not None]
            medians = [spread.median * scale for _, spread in known]
            below = [(spread.median - spread.low) * scale for _, spread in known]
            above = [(spread.high - spread.median) * scale for _, spread in known]
            axis.errorbar(
                [level for level, _ in known], medians, [below, above], marker="o", capsize=3, label=TITLES[name]
            )
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel("open streams")
        axis.set_title(title)
        axis.grid(visible=True, alpha=0.3)
    axes[0].legend()
    figure.suptitle(subtitle, fontsize=9)
    figure.savefig(path)
