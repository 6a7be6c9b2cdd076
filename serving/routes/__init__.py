"""The endpoints, one file per noun. What they answer with is in ``schemas.py``."""
