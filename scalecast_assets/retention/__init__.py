"""What is kept, for how long, and removing the rest: ``plan.py`` decides, ``purge.py`` does it.

``raw/`` is the users' and ``archive/`` is what the ledger can be replayed from: neither is touched.
"""
