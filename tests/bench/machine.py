"""What the operating system says: CPU time and memory of a process, and what machine this is."""

import os
import platform
import re
import resource
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PACKAGES = ("aio-pika", "aiormq", "pamqp", "aiohttp", "faststream", "amigo-sdk", "uvloop")


def cpu_s(pid: int) -> float:
    """User and system time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def side_threads_s(pid: int) -> float:
    """What the threads of a process beside its main one have run."""
    tasks = [task for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)]
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def busy_s() -> float:
    """The time that all cores together have worked since the start, time stolen by the host included."""
    fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS_A_SECOND


@dataclass(frozen=True)
class Spent:
    """CPU seconds of each named process, and of everybody, within `wall_s` seconds."""

    wall_s: float
    processes: dict[str, float]
    everybody_s: float

    def cores(self, name: str) -> float:
        """How many cores it kept busy."""
        return self.processes[name] / self.wall_s

    @property
    def foreign_cores(self) -> float:
        """What others on this machine took meanwhile: with much of it, only ratios count."""
        return max(0.0, self.everybody_s - sum(self.processes.values())) / self.wall_s


class Stopwatch:
    """Starts when made."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = {**pids, "bench": os.getpid()}
        self._before = {name: cpu_s(pid) for name, pid in self._pids.items()}
        self._busy_s = busy_s()
        self._start_s = time.monotonic()

    def stop(self) -> Spent:
        wall_s = time.monotonic() - self._start_s
        spent = {name: cpu_s(pid) - self._before[name] for name, pid in self._pids.items()}
        return Spent(wall_s, spent, busy_s() - self._busy_s)


def many_files() -> int:
    """Raise the limit of open files as far as permitted, for the children too; the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def description(rabbitmq: str) -> dict[str, str]:
    """The machine and what runs on it."""
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * PAGE_BYTES / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "rabbitmq": rabbitmq,
        "erlang": _erlang(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _cpu_model() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    return found[1].strip() if found else platform.processor() or platform.machine()


def _erlang() -> str:
    said = 'io:format("~s", [erlang:system_info(otp_release)]), halt().'
    try:
        done = subprocess.run(["erl", "-noshell", "-eval", said], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
