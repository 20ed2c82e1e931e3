"""A room's command line; and, where the tests run as root, that nothing of a room is left when it ends."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from deploy.local.child import Child
from tests.matrix.checkout import ROOT, copy_to
from tests.matrix.room import Room
from tests.support.namespaces import AS_ROOT, REFUSAL, said
from tests.support.processes import eventually, processes_in


def test_a_command_is_never_read_by_a_shell() -> None:
    made = Room(Path("/"), ((Path("/a b"), Path("/c;d")),)).command("echo", "$HOME; rm")
    assert made[made.index("/") :] == ["/", "/a b", "/c;d", "--", "echo", "$HOME; rm"]


def test_a_room_gives_back_output_and_status(tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "file").write_text("seen", encoding="ascii")
    (tmp_path / "place").mkdir()
    room = Room(Path("/"), ((tmp_path / "shown", tmp_path / "place"),))
    command = AS_ROOT + room.command("sh", "-c", 'cat "$0"; exit 3', str(tmp_path / "place" / "file"))
    if REFUSAL:
        assert said(command) == REFUSAL
        return
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("seen", 3)
    assert list((tmp_path / "place").iterdir()) == []


@pytest.mark.parametrize("how", ["killed alone", "stopped"])
def test_whatever_ends_a_room_ends_all_that_runs_in_it(tmp_path: Path, how: str) -> None:
    (tmp_path / "work").mkdir()
    nested = "setsid sh -c 'sleep 600 & sleep 600' & echo up; sleep 600"
    room = AS_ROOT + Room(Path("/")).command("sh", "-c", f"cd '{tmp_path}/work'; {nested}")
    if REFUSAL:
        assert said(room) == REFUSAL
        return
    with Child(room, log=tmp_path / "log", cwd=tmp_path) as child:
        assert eventually(lambda: len(processes_in(tmp_path / "work")) >= 4), processes_in(tmp_path / "work")
        if how == "stopped":
            child.stop(grace_s=0)
        else:
            child.signal(signal.SIGKILL)
        assert eventually(lambda: processes_in(tmp_path / "work") == {}), processes_in(tmp_path / "work")
        assert eventually(lambda: child.exit_status is not None)


def test_a_copy_of_the_checkout_is_a_repository_that_keeps_its_packages(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / "left.py").write_text("", encoding="ascii")
    (tmp_path / "bridge").mkdir()
    copy_to(tmp_path)
    listed = subprocess.check_output(["git", "ls-files"], cwd=tmp_path, text=True).splitlines()
    assert {"dev", "bridge/app.py", "tests/matrix/room.py"} <= set(listed)
    assert not (tmp_path / "left.py").exists()
    assert (tmp_path / ".venv").is_dir()
    assert (tmp_path / "dev").read_bytes() == (ROOT / "dev").read_bytes()
    assert os.access(tmp_path / "dev", os.X_OK)
