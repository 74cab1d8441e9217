"""The scripts of ``.ci`` run on Linux, macOS and Windows. Of these only one is at hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [ROOT / ".ci" / name for name in ("run", "packages", "platform")]
WINDOWS, LINUX, MACOS = "MINGW64_NT-10.0-26100", "Linux", "Darwin"

needs_bash = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None, reason="needs bash and ln -s"
)

NOT_EVERYWHERE = (
    r"\bpython3 |/bin/|/Scripts/",  # `platform` knows which
    r"/dev/(stderr|stdout|fd)|/proc|/tmp\b",
    r"\bbash ",  # on Windows it may be that of another system: "$BASH"
    r"\b(find|mapfile|readarray|realpath|readlink|timeout|stat|date|declare -A) ",
    r"<<<|\|&|&>|\$\{\w+(,,|\^\^|@)",  # newer than bash 3.2, or not the same in it
    r"\bgrep [^|]*-\w*P|\bsed [^|]*-(i|r)\b",  # GNU's
)


def as_on(system: str, directory: Path, script: str) -> str:
    """Run a script at the root of the project where `uname` says that it is another system."""
    (directory / "uname").write_text(f"#!/bin/sh\necho {system}\n", "utf-8")
    (directory / "uname").chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". .ci/platform\n{script}"],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@needs_bash
def test_commands_of_the_readme_in_the_words_of_each_system(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()
    for environment, begins in (
        (".venv", "python3 -m venv .venv"),
        (".venv-test", "python3 -m venv .venv-test"),
        (".venv", ".venv/bin/fastnn predict"),
    ):
        (said,) = (line for line in readme if line.startswith(f"{begins} "))
        ask = f"readme_command '{begins}'"
        assert as_on(LINUX, tmp_path, ask) == f"{said}\n"
        assert as_on(MACOS, tmp_path, ask) == f"{said}\n"
        translated = as_on(WINDOWS, tmp_path, ask)
        assert f"{environment}/Scripts/" in translated
        assert "/bin/" not in translated
        assert "python3" not in translated
        assert translated.count("/Scripts/") == said.count("/bin/")
        back = translated.replace("/Scripts/", "/bin/").replace("python -m venv", "python3 -m venv")
        assert back == f"{said}\n"


@needs_bash
def test_an_environment_is_found_as_windows_makes_it(tmp_path: Path) -> None:
    """Where ``python`` makes directories ``Scripts``, and there is no ``python3``."""
    made = tmp_path / "made"
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n"{sys.executable}" -m venv --without-pip "$3"\nmv "$3/bin" "$3/Scripts"\n',
        "utf-8",
    )
    python.chmod(0o755)
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 9\n", "utf-8")
    (tmp_path / "python3").chmod(0o755)
    said = as_on(
        WINDOWS,
        tmp_path,
        f'"$python" -m venv "{made}"; "{made}"/$scripts/python -c "import sys; print(sys.prefix)"',
    )
    assert said.strip() == str(made)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_they_can_be_read() -> None:
    for script in SCRIPTS:
        subprocess.run(["bash", "-n", str(script)], check=True)


def test_nothing_in_them_is_of_one_system_alone() -> None:
    for script in SCRIPTS[:2]:
        lines = script.read_text("utf-8").splitlines()
        assert ". .ci/platform" in lines
        for number, line in enumerate(lines[1:], start=2):  # the first one names bash
            if "$(readme_command " in line:
                continue
            for pattern in NOT_EVERYWHERE:
                assert not re.search(pattern, line), f"{script.name}:{number}: {line}"
