"""Alerts: what is wrong now, told once on every channel, and that it is over.

``sensor.py`` looks every half minute. What is wrong is read from what lasts, never from an event
that could be missed: the ledger (``files.py``), check records (``gates.py``), run records
(``runs.py``), ticks (``ticks.py``). ``book.py`` remembers in Postgres what was told already,
``delivery.py`` tells the rest, in the words of ``wording.py``. The channels themselves are in
``scalecast_assets/resources/alerts.py``.
"""
