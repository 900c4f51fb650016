"""What makes .venv: it does nothing when nothing is to do, and never trusts what was cut off."""

import subprocess
import sys
from pathlib import Path

import pytest

from datilio import bootstrap

PIN = "six==1.17.0"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bootstrap has done; making and installing are stood in for, the decisions are real."""
    steps: list[str] = []

    def create(venv: Path) -> None:
        steps.append("create")
        bootstrap.empty(venv)
        (venv / "bin").mkdir()
        (venv / "bin" / "python").symlink_to(sys.executable)

    def install(venv: Path, requirements: Path) -> None:
        (venv / bootstrap.UNFINISHED).touch()
        steps.append(f"install {requirements.name}")
        (venv / bootstrap.UNFINISHED).unlink()

    monkeypatch.setattr(bootstrap, "create", create)
    monkeypatch.setattr(bootstrap, "install", install)
    monkeypatch.setattr(bootstrap, "works", lambda venv: (venv / "bin" / "python").exists())
    monkeypatch.setattr(bootstrap, "made_by_another_python", lambda venv: False)
    return steps


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    prod, everything = tmp_path / "requirements-prod.txt", tmp_path / "requirements.txt"
    prod.write_text(PIN)
    everything.write_text(f"-r {prod.name}\npytest==9.2.0")
    return prod, everything


def test_the_second_time_there_is_nothing_to_do(tmp_path: Path, files: tuple[Path, Path], done: list[str]) -> None:
    venv, prod = tmp_path / ".venv", files[0]
    assert bootstrap.ensure(venv, prod) is True
    assert bootstrap.ensure(venv, prod) is False
    assert done == ["create", "install requirements-prod.txt"]


def test_what_testing_needs_holds_what_running_needs(tmp_path: Path, files: tuple[Path, Path], done: list[str]) -> None:
    venv, (prod, everything) = tmp_path / ".venv", files
    bootstrap.ensure(venv, everything)
    assert bootstrap.ensure(venv, prod) is False


def test_a_changed_file_or_one_that_it_includes_is_installed_again(
    tmp_path: Path, files: tuple[Path, Path], done: list[str]
) -> None:
    venv, (prod, everything) = tmp_path / ".venv", files
    bootstrap.ensure(venv, everything)
    prod.write_text("six==1.16.0")
    assert bootstrap.ensure(venv, prod) is True
    assert bootstrap.ensure(venv, everything) is True
    assert bootstrap.ensure(venv, everything) is False
    assert done[1:] == ["install requirements.txt", "install requirements-prod.txt", "install requirements.txt"]


def test_an_installation_that_was_cut_off_is_made_anew(
    tmp_path: Path, files: tuple[Path, Path], done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    venv, prod = tmp_path / ".venv", files[0]

    def cut_off(venv: Path, requirements: Path) -> None:
        (venv / bootstrap.UNFINISHED).touch()
        (venv / "half-installed").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "install", cut_off)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.ensure(venv, prod)
    assert bootstrap.ensure(venv, prod) is True
    assert not (venv / "half-installed").exists()
    assert done == ["create", "create", "install requirements-prod.txt"]


def test_a_python_that_is_gone_means_a_new_environment(
    tmp_path: Path, files: tuple[Path, Path], done: list[str]
) -> None:
    venv, prod = tmp_path / ".venv", files[0]
    bootstrap.ensure(venv, prod)
    (venv / "bin" / "python").unlink()
    assert bootstrap.ensure(venv, prod) is True
    assert done.count("create") == 2


@pytest.mark.slow
def test_two_at_once_install_once(tmp_path: Path, files: tuple[Path, Path]) -> None:
    (tmp_path / "count").touch()
    script = tmp_path / "two.py"
    script.write_text(
        f"""
import sys, time
sys.path.insert(0, {str(bootstrap.ROOT)!r})
from pathlib import Path
from datilio import bootstrap
here = Path({str(tmp_path)!r})
def install(venv, requirements):
    time.sleep(0.5)
    with (here / "count").open("a") as count: count.write("x")
def create(venv):
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
bootstrap.install, bootstrap.create, bootstrap.works = install, create, lambda venv: False
bootstrap.ensure(here / ".venv", here / "requirements-prod.txt")
"""
    )
    both = [subprocess.Popen([sys.executable, str(script)]) for _ in range(2)]
    assert [process.wait(timeout=30) for process in both] == [0, 0]
    assert (tmp_path / "count").read_text() == "x"


def test_an_old_python_is_told_which_one_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert bootstrap.main([]) == 1
    assert "Python 3.11 or newer is needed" in capsys.readouterr().out


@pytest.mark.slow
def test_a_real_environment_is_made_and_one_without_pip_gets_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / ".venv"
    bootstrap.create(venv)
    assert bootstrap.works(venv)
    assert (venv / bootstrap.UNFINISHED).exists()

    monkeypatch.setattr(bootstrap, "works", lambda venv: False)
    monkeypatch.setattr(bootstrap, "pip_from_another_pip", lambda venv: False)
    monkeypatch.setattr(bootstrap, "pip_from_debian", lambda venv: False)
    with pytest.raises(bootstrap.Failed, match="sudo apt-get install python3-venv"):
        bootstrap.create(venv)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-prod.txt"])
def test_every_pin_has_its_hashes_and_no_address(name: str) -> None:
    text = (bootstrap.ROOT / name).read_text()
    pins = [line for line in text.splitlines() if line and line[0].isalnum()]
    assert pins
    assert all(line.endswith("\\") and "==" in line for line in pins)
    assert not [line for line in text.splitlines() if line.startswith("--") or "://" in line]
