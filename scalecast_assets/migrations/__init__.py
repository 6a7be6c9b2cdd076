"""The schemas that ScaleCast owns in Postgres, by release: ``landing``, ``warehouse``, ``ml``.

Alembic runs ``versions/`` in their order and keeps the last one's number in
``warehouse.schema_version``. A new version is a new file ``v0002_….py`` (and its ``.sql``), and
``upgrade.HEAD`` names it; one that was released is never edited. ``features`` belongs to dbt.
"""
