"""Changes go out: decisions, the outbox and the channels."""
