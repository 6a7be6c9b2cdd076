"""What the verbs of the ``scalecast`` command do; which verbs there are is in ``cli/``.

May import every room; nothing but ``cli/`` imports it.
"""
