"""One small file per rule: a pure function from what the rule looks at to its verdict."""
