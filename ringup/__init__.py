"""ringup: from the till to the customer in under a second."""

__version__ = "0.1.0"
