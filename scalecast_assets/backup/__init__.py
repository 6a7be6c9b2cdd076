"""One consistent copy of database and store in a folder, and the way back.

``archive.py`` is what such a folder holds, ``database.py`` dumps and restores Postgres,
``making.py`` and ``restoring.py`` put both together. The command is ``cli/backups.py``.
"""
