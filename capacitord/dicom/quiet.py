"""A process that reads datasets says nothing of them, whatever goes wrong in it."""

from __future__ import annotations

import logging
import sys
import threading
import warnings

from capacitord.dicom.arriving import describe


def say_nothing_of_patients(name: str) -> None:
    """Silence what others would log of datasets, and errors' own words, which may hold anything.

    `name` is the logger that says of an unforeseen error what kind it is.
    """
    for library in ("pynetdicom", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    log = logging.getLogger(name)
    threading.excepthook = lambda error: log.error(
        "A thread ended in an unforeseen way: %s",
        error.exc_type.__name__ if error.exc_value is None else describe(error.exc_value),
    )
    sys.excepthook = lambda _kind, error, _trace: log.critical(
        "The process ended in an unforeseen way: %s", describe(error)
    )
