"""Emulated links: one model (``link.py``); the simulation drives it in virtual time, ``relay.py`` in real time."""
