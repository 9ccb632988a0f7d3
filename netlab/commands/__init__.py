"""The sub-commands of ``netlab``, one idea a module; each has ``register(app)``. See ``netlab/cli.py``."""
