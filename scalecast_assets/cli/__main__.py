"""``python -m scalecast_assets.cli``: the command, by an interpreter that is named."""

from scalecast_assets.cli import main

main()
