"""Public data sets, as they are downloaded, made into raw sales files.

One module a data set: a function from its files to rows of ``RAW_COLUMNS``, read as a stream.
``files.py`` opens what was downloaded and ``writing.py`` writes the CSV; the command is
``cli/convert.py``. What is lost or assumed on the way stands in each module's docstring.
"""
