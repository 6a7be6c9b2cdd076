"""``make install`` as shipped, in a folder with a space, on packages that are as small as can be.

Make, sh, venv and pip are real. The locks name three little wheels made here instead of two hundred
from an index, and the project that is installed is a stand-in whose ``scalecast`` says what it was
called with.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.graph import little_wheels
from tests.graph.command import ROOT
from tests.graph.little_wheels import wheel

BACKEND = """
import pathlib
from little_wheels import wheel

def build_editable(folder, config_settings=None, metadata_directory=None):
    files = {
        "scalecast_here.pth": str(pathlib.Path(__file__).parent) + "\\n",
        "scalecast_pipeline-1.0.0.dist-info/entry_points.txt":
            "[console_scripts]\\nscalecast = stand_in:main\\n",
    }
    return wheel(pathlib.Path(folder), "scalecast-pipeline", "1.0.0", files).name
"""
STAND_IN = """
import sys

def main() -> None:
    print("scalecast", *sys.argv[1:])
"""


@dataclass(frozen=True)
class Project:
    folder: Path
    environment: Mapping[str, str]

    def make(self, *targets: str) -> str:
        """What ``make`` says; fails the test with pip's own words if it fails."""
        done = subprocess.run(
            ["make", *targets],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def lock(self, name: str, **pins: str) -> None:
        lines = [f"{package}=={version}\n" for package, version in pins.items()]
        (self.folder / name).write_text("# as little as can be\n" + "".join(lines))

    def installed(self, package: str) -> str:
        python = self.folder / ".venv" / "bin" / "python"
        asked = f"from importlib.metadata import version; print(version({package!r}))"
        return subprocess.check_output([str(python), "-c", asked], text=True).strip()

    def state(self) -> dict[str, int]:
        """When each file of the virtual environment was written."""
        return {
            str(path): path.lstat().st_mtime_ns
            for path in (self.folder / ".venv").rglob("*")
            if "__pycache__" not in path.parts
        }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A checkout whose locks name the little wheels."""
    base = tmp_path_factory.mktemp("install")
    wheels = base / "wheels"
    wheels.mkdir()
    for name, version in (("tiny", "1.0"), ("tiny", "2.0"), ("for-tests", "1.0")):
        wheel(wheels, name, version, {f"{name.replace('-', '_')}.py": f"is_it = {version!r}\n"})
    wheel(wheels, "torch", "2.13.0+cpu", {})
    folder = base / "a folder"
    folder.mkdir()
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "scalecast-pipeline"\nversion = "1.0.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(BACKEND)
    shutil.copy(little_wheels.__file__, folder)
    (folder / "stand_in.py").write_text(STAND_IN)
    # MAKE…: `make test` tells the makes below it that they are inner ones, which then say so.
    foreign = ("PIP_", "PYTHON", "VIRTUAL", "MAKE", "MFLAGS")
    clean = {n: v for n, v in os.environ.items() if not n.startswith(foreign)}
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.as_uri(), "PIP_NO_CACHE_DIR": "1"}
    project = Project(folder, {**clean, **offline, "PYTHON": sys.executable})
    project.lock("requirements.lock", tiny="1.0", torch="2.13.0")
    project.lock("requirements-dev.lock", **{"for-tests": "1.0"})
    yield project
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def said_first(project: Project) -> str:
    return project.make("install")


def test_it_installs_what_the_lock_names_and_the_command(project: Project, said_first: str) -> None:
    assert "Installing ScaleCast's libraries into .venv" in said_first
    assert said_first.endswith("Installed.\n")
    assert (project.installed("tiny"), project.installed("torch")) == ("1.0", "2.13.0+cpu")


def test_a_second_call_does_nothing_and_says_nothing(project: Project, said_first: str) -> None:
    before = project.state()
    assert project.make("install") == ""
    assert project.state() == before


def test_make_run_installs_and_then_is_the_command_with_the_sample(
    project: Project, said_first: str
) -> None:
    assert project.make("run") == "scalecast up --with-sample\n"
    assert project.make("up") == "scalecast up\n"


def test_what_tests_need_includes_what_running_needs_but_not_the_other_way_round(
    project: Project, said_first: str
) -> None:
    assert "Installed." in project.make("install-dev")
    assert project.installed("for-tests") == "1.0"
    assert project.make("install-dev") == ""
    assert project.make("install") == ""


def test_another_lock_is_installed(project: Project, said_first: str) -> None:
    project.lock("requirements.lock", tiny="2.0", torch="2.13.0")
    assert "Installed." in project.make("install")
    assert project.installed("tiny") == "2.0"
    assert project.make("install") == ""


def test_a_folder_that_was_moved_is_installed_anew(project: Project, said_first: str) -> None:
    moved = Project(project.folder.with_name("another folder"), project.environment)
    project.folder.rename(moved.folder)
    try:
        assert "Installed." in moved.make("install")
        assert moved.make("run") == "scalecast up --with-sample\n"
        assert "another folder" in (moved.folder / ".venv" / "bin" / "scalecast").read_text()
    finally:
        moved.folder.rename(project.folder)


def test_a_lock_that_cannot_be_had_fails_with_pips_words_and_is_tried_again(
    project: Project, said_first: str
) -> None:
    project.lock("requirements.lock", tiny="3.0", torch="2.13.0")
    with pytest.raises(AssertionError, match=r"No matching distribution found for tiny==3.0"):
        project.make("install")
    project.lock("requirements.lock", tiny="2.0", torch="2.13.0")
    assert "Installed." in project.make("install")
