"""Changes become profiles, segments and triggers."""
