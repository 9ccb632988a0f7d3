"""Scenarios for ``netlab sim``; each is run by a test."""
