"""Write the pages of docs/ that are made from the code: settings, commands, HTTP API.

``python -m deploy.reference`` writes them; a test compares what is there with what it would write.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
WRITTEN: Final = "<!-- Written by `python -m deploy.reference` from the code; change that. -->\n\n"


def pages() -> dict[str, str]:
    """Return the files under docs/ and what they hold."""
    schema = openapi()
    return {
        "settings.md": WRITTEN + "".join(settings_page()),
        "commands.md": WRITTEN + "".join(commands_page()),
        "api.md": WRITTEN + "".join(api_page(schema)),
        "openapi.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
    }


def openapi() -> dict[str, Any]:
    """Return the sidecar's own description of itself."""
    from serving.app import create_app
    from serving.settings import Settings

    schema: dict[str, Any] = create_app(Settings(store_url="file:///nowhere")).openapi()
    return schema


def settings_page() -> Iterator[str]:
    """Yield the table of settings."""
    from scalecast_assets.commands.reporting import settings_table

    yield "# Settings\n\n"
    yield "From the environment, or from a `.env` beside you; the environment wins. A setting that "
    yield "is unknown or contradicts another is an error that names it. `scalecast settings` lists "
    yield "them, too.\n\nThe store's credentials are those of every AWS program: "
    yield "`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, a profile or a role; "
    yield "`AWS_ENDPOINT_URL` names another service than AWS.\n\n"
    yield "| variable | default | |\n|---|---|---|\n"
    for row in settings_table():
        default = _cell(str(row["default"])).replace(",", ", ")
        yield f"| `{row['name']}` | {default} | {_cell(row['description'])} |\n"


def commands_page() -> Iterator[str]:
    """Yield the help of every verb."""
    from scalecast_assets.cli import cli

    yield "# Commands\n\n"
    yield "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a file was refused. Most have `--json`. "
    yield '`eval "$(scalecast completion bash)"` in `~/.bashrc` completes them (zsh, fish, too).\n'
    settings = {**cli.context_settings, "terminal_width": 100, "max_content_width": 100}
    root = click.Context(cli, info_name="scalecast", **settings)
    for name in sorted(cli.commands):
        command = cli.commands[name]
        context = click.Context(
            command, parent=root, info_name=name, terminal_width=100, max_content_width=100
        )
        yield f"\n## {name}\n\n```text\n{command.get_help(context)}\n```\n"


def api_page(schema: dict[str, Any]) -> Iterator[str]:
    """Yield every route with its fields and answers."""
    yield "# HTTP API\n\n"
    yield "Every route of the sidecar; `/docs` of a running one tries them out, and "
    yield "[openapi.json](openapi.json) is for programs. Keys, limits and TLS: "
    yield "[Serving](serving.md).\n"
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield f"\n## {method.upper()} {path}\n\n"
            yield f"{operation.get('description') or operation.get('summary', '')}\n"
            yield from _parameters(operation)
            yield from _body(operation, schema)
            yield "\n| answer | |\n|---|---|\n"
            for status, answer in operation["responses"].items():
                yield f"| {status} | {_cell(answer['description'])} |\n"


def _parameters(operation: dict[str, Any]) -> Iterator[str]:
    parameters = operation.get("parameters", [])
    if parameters:
        yield "\n| parameter | |\n|---|---|\n"
    for given in parameters:
        place = given["in"] + (", required" if given.get("required") else "")
        yield f"| `{given['name']}` ({place}) | {_cell(given.get('description', ''))} |\n"


def _body(operation: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref")
    if reference is None:
        return
    model = schema["components"]["schemas"][reference.rpartition("/")[2]]
    required = model.get("required", [])
    yield "\n| field | |\n|---|---|\n"
    for name, field in model.get("properties", {}).items():
        must = "required" if name in required else "optional"
        yield f"| `{name}` ({must}) | {_cell(field.get('description', ''))} |\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
