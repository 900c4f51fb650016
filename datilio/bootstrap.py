"""Make .venv from a hash-locked requirements file: `python3 -I datilio/bootstrap.py requirements-prod.txt`.

Runs before anything is installed, so: standard library only. Does nothing (in 50 ms) when the environment
holds what the file asks for. An installation that was cut off is thrown away and made anew, two at once wait
for each other, and nothing outside .venv is touched, as root or not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
UNFINISHED = ".datilio-unfinished"
REMEDY = "Install Debian's package and try again:  sudo apt-get install python3-venv"


class Failed(Exception):
    """Something the user has to put right; the message says what."""


def say(text: str) -> None:
    print(text, flush=True)


def included(requirements: Path) -> list[Path]:
    """The file and every file that it includes, itself first."""
    names = re.findall(r"^-r\s+(\S+)", requirements.read_text(), re.MULTILINE)
    return [requirements] + [file for name in names for file in included(requirements.parent / name)]


def fingerprint(requirements: Path) -> str:
    """What decides whether the environment is still right: the file, what it includes, and the Python."""
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for file in included(requirements):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def works(venv: Path) -> bool:
    python = venv / "bin" / "python"
    return python.exists() and run(python, "-m", "pip", "--version").returncode == 0


def create(venv: Path) -> None:
    """An empty environment with pip, which has to come another way where Debian left ensurepip out."""
    say(f"Making {venv.name} with Python {sys.version.split()[0]}")
    empty(venv)
    # When .venv itself is active, `python3` is .venv's: make the new one with the Python behind it.
    python = getattr(sys, "_base_executable", sys.executable)
    made = run(python, "-m", "venv", venv)
    if made.returncode == 0 and works(venv):
        return
    empty(venv)
    bare = run(python, "-m", "venv", "--without-pip", venv)
    if bare.returncode != 0:
        raise Failed(f"`{python} -m venv` failed: {bare.stderr.strip() or bare.stdout.strip()}\n{REMEDY}")
    if pip_from_another_pip(venv) or pip_from_debian(venv):
        return
    raise Failed(f"This Python can make no environment with pip (Debian ships ensurepip apart).\n{REMEDY}")


def empty(venv: Path) -> None:
    """An empty folder, marked as unfinished from the first moment on."""
    venv.mkdir(parents=True, exist_ok=True)
    (venv / UNFINISHED).touch()
    for entry in venv.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != UNFINISHED:
            entry.unlink()


def pip_from_another_pip(venv: Path) -> bool:
    """Any pip of 22.3 or newer on this machine can install one into another environment."""
    run(sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet", "pip")
    return works(venv)


def pip_from_debian(venv: Path) -> bool:
    """The pip in Debian's python3-pip-whl, unpacked into a temporary folder; the system stays as it is.

    apt verifies signatures as always; its lists and cache are the temporary folder's, so root is not needed.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    say("python3-venv is not installed here: taking pip from Debian's python3-pip-whl (into .venv only)")
    with tempfile.TemporaryDirectory(prefix="datilio-pip-") as name:
        folder = Path(name)
        for part in ("lists/partial", "cache/archives/partial", "deb"):
            (folder / part).mkdir(parents=True)
        apt = ["apt-get", "--quiet", "--option", f"Dir::State::Lists={folder}/lists"]
        apt += ["--option", f"Dir::Cache={folder}/cache", "--option", "Debug::NoLocking=1"]
        if os.geteuid() == 0:
            apt += ["--option", "APT::Sandbox::User=root"]
        steps = [(apt + ["update"], folder), (apt + ["download", "python3-pip-whl"], folder / "deb")]
        for command, where in steps:
            done = subprocess.run(command, cwd=where, capture_output=True, text=True)
            if done.returncode != 0:
                say(f"{' '.join(command[:1] + command[-2:])} failed: {done.stderr.strip()[-300:]}")
                return False
        for package in (folder / "deb").glob("*.deb"):
            run("dpkg-deb", "--extract", package, folder / "deb")
        for wheel in (folder / "deb").rglob("pip-*.whl"):
            run(venv / "bin" / "python", f"{wheel}/pip", "install", "--quiet", "--no-index", wheel)
    return works(venv)


def install(venv: Path, requirements: Path) -> None:
    pins = sum(len(re.findall(r"^\S+==", file.read_text(), re.MULTILINE)) for file in included(requirements))
    say(f"Installing the {pins} pinned packages of {requirements.name}")
    (venv / UNFINISHED).touch()
    started = time.monotonic()
    done = subprocess.run(
        [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
        + ["-qq", "--require-hashes", "--requirement", str(requirements)],
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
    )
    if done.returncode != 0:
        raise Failed(f"pip could not install {requirements.name}: its own words are above.")
    (venv / UNFINISHED).unlink()
    say(f"Installed in {time.monotonic() - started:.0f} s")


def ensure(venv: Path, requirements: Path) -> bool:
    """Make the environment hold what `requirements` asks for; True when anything had to be done."""
    stamp = venv / f".datilio-{requirements.stem}"
    wanted = fingerprint(requirements)
    venv.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(venv.parent, os.O_RDONLY)  # the folder itself is the lock: no file is left behind
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another make is at work on {venv.name}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        python_is_there = (venv / "bin" / "python").exists()
        unfinished = (venv / UNFINISHED).exists()
        if python_is_there and not unfinished and stamp.exists() and stamp.read_text() == wanted:
            return False
        if unfinished or not works(venv) or made_by_another_python(venv):
            create(venv)
        # Another file's packages may change with this one's: the stamps are for what was installed last.
        for old in venv.glob(".datilio-requirements*"):
            old.unlink()
        install(venv, requirements)
        for file in included(requirements):
            (venv / f".datilio-{file.stem}").write_text(fingerprint(file))
        return True
    finally:
        os.close(lock)


def made_by_another_python(venv: Path) -> bool:
    found = run(venv / "bin" / "python", "-c", "import sys; print(*sys.version_info[:2])").stdout.split()
    return found != [str(part) for part in sys.version_info[:2]]


def main(arguments: list[str]) -> int:
    if sys.version_info < OLDEST:
        say(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}.")
        say("If another is installed, name it:  make PYTHON=python3.11 ...")
        return 1
    requirements = ROOT / (arguments[0] if arguments else "requirements-prod.txt")
    venv = ROOT / ".venv"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # so that pip does not outlive us
    try:
        ensure(venv, requirements)
    except Failed as failure:
        say(str(failure))
        return 1
    except KeyboardInterrupt:
        say("Stopped; the next start begins the installation anew.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
