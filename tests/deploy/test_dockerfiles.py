"""The images without an engine: how Dockerfiles are written, and whether what they copy runs."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from tests.graph.command import ROOT, eventually, fetch, free_port

FILES = ("pipeline.Dockerfile", "serving.Dockerfile")
every_file = pytest.mark.parametrize("name", FILES)


def instructions(name: str) -> list[tuple[str, str]]:
    parser = DockerfileParser(path=str(ROOT / "deploy" / name), cache_content=True)
    return [(one["instruction"], one["value"]) for one in parser.structure]


def copied_into(folder: Path, name: str) -> None:
    """Do with the checkout what the Dockerfile's COPY lines do, .dockerignore or not."""
    for instruction, value in instructions(name):
        if instruction == "COPY" and not value.startswith("--from"):
            *sources, target = value.split()
            for source in sources:
                into = folder / target
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, into, dirs_exist_ok=True)
                else:
                    into = into / Path(source).name if target.endswith("/") else into
                    into.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(ROOT / source, into)


@every_file
def test_an_image_has_two_stages_of_one_pinned_base_and_no_root(name: str) -> None:
    found = instructions(name)
    bases = [value.split()[0] for instruction, value in found if instruction == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    tag, _, digest = bases[0].partition("@sha256:")
    assert len(digest) == 64
    assert tag.count(".") == 2  # a patch release
    last = [instruction for instruction, _ in found][::-1].index("FROM")
    final = found[-last:]
    assert ("USER", "10001:10001") in final
    assert [i for i, _ in final if i == "RUN"] == ["RUN"]  # the account; nothing is installed
    written = [i for i, _ in final[[i for i, _ in final].index("USER") :]]
    assert not {"RUN", "COPY", "ADD"} & set(written)
    for instruction, value in found:
        assert instruction != "ADD"
        if "pip install" in value:
            assert "--no-deps" in value
            assert ".lock" in value or "-e ." in value
        if instruction in ("CMD", "ENTRYPOINT"):
            assert value.startswith("["), "a shell would not hand on signals"


@every_file
def test_what_an_image_copies_is_let_through_and_there(name: str) -> None:
    let = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    for instruction, value in instructions(name):
        if instruction == "COPY" and not value.startswith("--from"):
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
                parents = {str(p) for p in (Path(source), *Path(source).parents)}
                assert parents & let, f"{source} is not in .dockerignore"


def test_the_sidecar_runs_from_what_its_image_holds_and_nothing_else(tmp_path: Path) -> None:
    """Its files alone, and of the packages only those of its lock."""
    copied_into(tmp_path, "serving.Dockerfile")
    lock = (ROOT / "requirements-serving.lock").read_text().splitlines()
    allowed = {line.partition("==")[0] for line in lock if line and line[0] != "#"}
    closed = sorted(
        module
        for module, owners in metadata.packages_distributions().items()
        if not {metadata.distribution(o).name.lower().replace("_", "-") for o in owners} & allowed
        and module not in ("scalecast_assets", "serving", "_distutils_hack")
    )
    assert {"dagster", "torch", "pandas", "sklearn", "xgboost"} <= set(closed)
    (tmp_path / "inside.py").write_text(
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"sys.modules.update(dict.fromkeys({closed!r}))\n"  # importing None is an ImportError
        "import serving, scalecast_assets\n"
        f"assert serving.__file__.startswith({str(tmp_path)!r}), serving.__file__\n"
        f"assert scalecast_assets.__file__.startswith({str(tmp_path)!r})\n"
        "runpy.run_module('serving', run_name='__main__')\n"
    )
    port = free_port()
    environment = {
        "PATH": "/usr/bin:/bin",
        "SCALECAST_HOME": str(tmp_path / "home"),
        "SCALECAST_STORE_URL": (tmp_path / "store").as_uri(),
    }
    with (tmp_path / "log").open("wb") as log:
        sidecar = subprocess.Popen(
            [sys.executable, "inside.py", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(
            lambda: (
                fetch(f"http://127.0.0.1:{port}/health")[0] == 200 or sidecar.poll() is not None
            ),
            "the sidecar",
            60,
        )
        assert sidecar.poll() is None, (tmp_path / "log").read_text()
    finally:
        sidecar.terminate()
        sidecar.wait(30)


def test_the_pipelines_command_runs_from_what_its_image_holds(tmp_path: Path) -> None:
    copied_into(tmp_path, "pipeline.Dockerfile")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from scalecast_assets.cli import cli\n"
        "from scalecast_assets.settings import PROJECT_ROOT\n"
        f"assert str(PROJECT_ROOT) == {str(tmp_path)!r}, PROJECT_ROOT\n"
        "for name in ('dagster.yaml', 'workspace.yaml', 'dbt_project/dbt_project.yml'):\n"
        "    assert (PROJECT_ROOT / name).is_file(), name\n"
        "cli(['settings', '--json'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "SCALECAST_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "dagster_config" in done.stdout.lower()
