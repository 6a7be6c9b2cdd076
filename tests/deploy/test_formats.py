"""Every file that somebody else's program reads has the form which that program asks for."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from tests.graph.command import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
TEMPLATES = [
    ROOT / "deploy" / "aws" / f"{name}.yaml" for name in ("storage", "database", "services")
]
MANIFESTS = [
    file
    for file in sorted((ROOT / "deploy" / "kubernetes").rglob("*.yaml"))
    if file.name not in ("dagster-values.yaml", "kustomization.yaml")
]


def beside(name: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a program that lies beside this interpreter."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.github-actions", ACTIONS),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("vendor.compose-spec", sorted(ROOT.glob("docker-compose*.yml"))),
    ],
)
def test_files_follow_the_schema_that_their_reader_publishes(
    schema: str, files: list[Path]
) -> None:
    assert files
    done = beside("check-jsonschema", "--builtin-schema", schema, *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_no_way_to_misuse_the_workflows() -> None:
    done = beside("zizmor", "--offline", "--quiet", "--config", ".github/zizmor.yml", ".github")
    assert done.returncode == 0, done.stdout + done.stderr


def test_actions_are_pinned_by_commit_and_may_only_read() -> None:
    for file in [*WORKFLOWS, *ACTIONS]:
        text = file.read_text()
        used = re.findall(r"uses: (\S+)(.*)", text)
        assert used or file.name == "never.yml"
        for name, comment in used:
            if not name.startswith("./"):
                assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name), f"{file.name}: {name}"
                assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{file.name}: {name}{comment}"
    for file in WORKFLOWS:
        workflow = yaml.safe_load(file.read_text())
        assert workflow["permissions"] == {}, file.name
        for name, job in workflow["jobs"].items():
            assert job["permissions"] == {"contents": "read"}, name
            assert job["timeout-minutes"] <= 60, name


def test_every_command_of_the_workflows_is_one_that_there_is() -> None:
    """Scripts exist, targets of make exist, modules can be found, locks are all scanned."""
    said = "\n".join(file.read_text() for file in [*WORKFLOWS, *ACTIONS])
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([\w-]+)", said)) <= targets
    for script in re.findall(r"sh (deploy/\S+\.sh)", said):
        assert beside_shell(ROOT / script) == "", script
    for module in re.findall(r"python -m (benchmarks\.\w+)", said):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    locks = {file.name for file in ROOT.glob("requirements*.lock")}
    assert set(re.findall(r"requirements[\w-]*\.lock", said)) == locks


def beside_shell(script: Path) -> str:
    """What a POSIX shell finds wrong with the script's grammar."""
    done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
    return done.stderr


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.stem)
def test_cloudformation_would_take_the_template(template: Path) -> None:
    done = beside("cfn-lint", template)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda file: file.stem)
def test_kubernetes_would_take_the_manifest(manifest: Path) -> None:
    documents = list(yaml.safe_load_all(manifest.read_text()))
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)  # raises what is wrong


def test_the_set_of_manifests_is_whole() -> None:
    """Names that one manifest uses of another; kustomize itself is not at hand."""
    folder = ROOT / "deploy" / "kubernetes" / "sidecar"
    kustomization: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(kustomization["resources"]) == {
        file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml"
    }
    found = [
        document
        for name in kustomization["resources"]
        for document in yaml.safe_load_all((folder / name).read_text())
    ]
    (deployment,) = [one for one in found if one["kind"] == "Deployment"]
    kinds = {one["kind"]: one for one in found}
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    target = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert pod["spec"]["serviceAccountName"] == kinds["ServiceAccount"]["metadata"]["name"]
    (container,) = pod["spec"]["containers"]
    generated = {one["name"] for one in kustomization["configMapGenerator"]}
    assert {f["configMapRef"]["name"] for f in container["envFrom"] if "configMapRef" in f} == (
        generated
    )
    assert [image["name"] for image in kustomization["images"]] == [container["image"]]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in ("/health", "/ready")
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
