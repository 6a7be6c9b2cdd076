"""What the verbs of the ``scalecast`` command do; which verbs there are is in ``cli.py``.

May import every room; nothing but ``cli.py`` imports it.
"""
