"""The demo: a real supermarket year at a till near you, and a phone that rings."""
