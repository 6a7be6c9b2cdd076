"""What the documentation names is there: verbs, modules, targets, settings, paths, links."""

import ast
import functools
import re
import subprocess
from pathlib import Path

import click
import pytest
from markdown.extensions.toc import slugify  # type: ignore[import-untyped]

from scalecast_assets.cli import cli
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.resources.reader_role import READER
from scalecast_assets.settings import FOREIGN, Settings, variable
from tests.docs.blocks import ROOT, all_pages, without_blocks
from tests.docs.mentions import Mention, code_of, commands_of

EVERY_PAGE = pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)

KNOWN_SETTINGS = {variable(field) for field in Settings.model_fields} | FOREIGN
_SETTING = re.compile(r"\b(SCALECAST_[A-Z_]*)(…?)")
_PATH = re.compile(r"[\w.-]+(?:/[\w.*-]+)*/?")
_FILE_OF_OURS = re.compile(r"[\w-]+\.(?:py|md|ya?ml|toml|lock|sh)")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


@functools.cache
def tracked() -> list[str]:
    """Every file of the repository, and every folder with a slash at its end."""
    files = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    folders = {f"{folder}/" for name in files for folder in Path(name).parents if folder.name}
    return [*files, *sorted(folders)]


@EVERY_PAGE
def test_a_command_of_ours_has_that_verb_and_those_options(page: Path) -> None:
    for mention, (program, *words) in commands_of(page):
        if program != "scalecast" or not words:
            continue
        assert words[0] in cli.commands, mention
        command = cli.commands[words[0]]
        root = click.Context(cli, **cli.context_settings)
        parser = command.make_parser(click.Context(command, parent=root))
        try:
            _, too_many, _ = parser.parse_args(words[1:])
        except click.BadOptionUsage:  # a sentence names an option without its value
            continue
        except click.UsageError as error:
            pytest.fail(f"{mention}: {error.format_message()}")
        assert too_many == [], mention


@EVERY_PAGE
def test_an_option_that_stands_alone_belongs_to_some_verb(page: Path) -> None:
    known = {
        option
        for command in cli.commands.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}
    for mention in code_of(page):
        if mention.text.startswith("--"):
            assert mention.text.split()[0] in known, mention


@EVERY_PAGE
def test_a_module_that_is_run_exists_and_takes_those_options(page: Path) -> None:
    for mention, (program, *words) in commands_of(page):
        if program != "python" or words[:1] != ["-m"] or not is_ours(words[1]):
            continue
        path = ROOT / words[1].replace(".", "/")
        source = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert source.is_file(), mention
        given = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
        assert given <= options_of(source), mention


def is_ours(module: str) -> bool:
    return f"{module.partition('.')[0]}/" in tracked()


def options_of(source: Path) -> set[str]:
    """The options that its ``argparse`` is told of, or its ``click``."""
    return {
        argument.value
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("add_argument", "option")
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


@EVERY_PAGE
def test_make_has_that_target(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for mention, (program, *words) in commands_of(page):
        if program == "make":
            asked = {word for word in words if "=" not in word}
            assert asked <= targets, mention


@EVERY_PAGE
def test_a_setting_is_one(page: Path) -> None:
    for name, cut in _SETTING.findall(page.read_text(encoding="utf-8")):
        if cut:
            assert any(known.startswith(name) for known in KNOWN_SETTINGS), name
        else:
            assert name in KNOWN_SETTINGS, name


@EVERY_PAGE
def test_a_path_in_the_checkout_leads_somewhere(page: Path) -> None:
    for mention in code_of(page):
        if _PATH.fullmatch(mention.text) and names_a_file_of_ours(mention):
            assert is_there(mention.text), mention


def names_a_file_of_ours(mention: Mention) -> bool:
    """Whether it begins with a folder of ours; the store's keys, say, do not."""
    first, slash, _ = mention.text.partition("/")
    if mention.text in (MODEL_POINTER, STATE_POINTER, "serving/"):
        return False  # of the store
    folders = (f"{first}/", f"scalecast_assets/{first}/")
    by_folder = bool(slash) and any(folder in tracked() for folder in folders)
    return by_folder or bool(_FILE_OF_OURS.fullmatch(mention.text))


def is_there(text: str) -> bool:
    """As a path from the root, or from ``scalecast_assets``, which some pages leave out."""
    if "/" not in text:
        return any(Path(name).name == text for name in tracked())
    return any(
        name.removesuffix("/") in tracked() or f"{name.removesuffix('/')}/" in tracked()
        for name in (text, f"scalecast_assets/{text}")
    )


@EVERY_PAGE
def test_a_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    for link in _LINK.findall(without_blocks(page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            headings = _HEADING.findall(target.read_text(encoding="utf-8"))
            assert anchor in {slugify(heading, "-") for heading in headings}, f"{page.name}: {link}"


@EVERY_PAGE
def test_a_table_is_made_by_a_migration_and_a_metric_by_the_sidecar(page: Path) -> None:
    migrations = ROOT / "scalecast_assets/migrations/versions"
    made = " warehouse.schema_version "  # Alembic's own
    made += "".join(path.read_text() for path in migrations.glob("*.sql"))
    served = "".join(path.read_text() for path in (ROOT / "serving").rglob("*.py"))
    for mention in code_of(page):
        if table := re.fullmatch(r"(ml|warehouse|landing)\.\w+", mention.text):
            assert f" {table[0]} " in made, mention
        if mention.text != READER and (
            metric := re.match(r"scalecast_(?!assets)\w+", mention.text)
        ):
            assert f'"{metric[0].removesuffix("_total")}' in served, mention


def test_the_readme_names_every_verb() -> None:
    named = {
        words[1]
        for _, words in commands_of(ROOT / "README.md")
        if words[0] == "scalecast" and words[1:]
    }
    assert set(cli.commands) - named == set()
