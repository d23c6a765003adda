"""Changes come in: the change log and what writes it."""
