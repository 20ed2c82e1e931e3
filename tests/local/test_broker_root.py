"""Another root for the broker's programs: what is chosen, what is refused, and how a program gets there."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy.local.broker_root import MACHINE, VARIABLE, BrokerRoot, NoRoot
from deploy.local.node import NodeError, RabbitNode
from tests.support.namespaces import AS_ROOT, REFUSAL, said

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def test_without_the_variable_programs_are_this_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    root = BrokerRoot.chosen()
    assert root.path == MACHINE
    assert root.command(tmp_path, SERVER, "-x") == [str(SERVER), "-x"]
    assert root.outside(SERVER) == root.inside(SERVER) == SERVER


@pytest.mark.parametrize("named", ["relative/root", "/nowhere", "/etc/hostname"])
def test_what_is_no_root_is_refused_with_its_name(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, named)
    why = f"{VARIABLE}={named} is not" if os.geteuid() == 0 else f"a broker in {named} takes the rights of root"
    with pytest.raises(NoRoot, match=why):
        BrokerRoot.chosen()
    with pytest.raises(NodeError, match=named):
        RabbitNode(tmp_path)


def test_a_root_without_rabbitmq_says_which_program_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    why = f"{tmp_path}{SERVER} is missing" if os.geteuid() == 0 else "takes the rights of root"
    with pytest.raises(NodeError, match=why):
        RabbitNode(tmp_path / "node").start()


def test_the_root_is_followed_through_links_and_back(tmp_path: Path) -> None:
    root = BrokerRoot(tmp_path)
    assert root.outside(SERVER) == tmp_path / "usr/lib/rabbitmq/bin/rabbitmq-server"
    assert root.inside(tmp_path / "usr/lib/x") == Path("/usr/lib/x")


def test_a_program_sees_the_root_and_its_folder_and_leaves_no_mount(tmp_path: Path) -> None:
    """The root is made of this machine's own programs: a folder with links into a mount of /usr."""
    root, folder = tmp_path / "root", tmp_path / "né's folder"
    for name in ("dev", "proc", "sys", "tmp", "usr"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    folder.mkdir()
    (folder / "file").write_text("seen", encoding="ascii")
    enter = BrokerRoot(root).command(folder, Path("/usr/bin/sh"), "-c", "pwd; cat file; ls /; exit 3")
    with_usr = f"mount --bind /usr '{root}/usr' && exec \"$@\""
    command = [*AS_ROOT, "unshare", "--mount", "--propagation", "private", "sh", "-c", with_usr, "sh", *enter]
    if REFUSAL:
        assert said(command) == REFUSAL
        return
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[:2] == [str(folder), "seenbin"]
    assert "root" not in done.stdout.splitlines()[2:]
    assert done.returncode == 3
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
