"""Which class each base Ebb is made of: the library's, or one the application puts in its place.

An application may bring its own Event Manager, or another of the base Ebbs that a core boots with (paper section
3.1.3). It names the class at boot, ``event_manager=package.module:Class``, and boot makes these Ebbs through
``Configuration.make``. Components hold base Ebbs in typed attributes, so a replacement is a subclass of the Ebb's
interface; it is checked before anything is made.
"""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

# By name: the class that a replacement must be a subclass of. Named, so that nothing is imported that is not used.
INTERFACES = {
    "memory_allocator": "ebbrt.memory:MemoryAllocator",
    "event_manager": "ebbrt.events.event_manager:EventManager",
    "local_id_map": "ebbrt.ebb:LocalIdMap",
    "network_manager": "ebbrt.network:NetworkManager",
    "core_links": "ebbrt.cores:CoreLinks",
}


class ConfigurationError(ValueError):
    """A replacement that cannot be used; the text says which and why."""


class Configuration:
    """The replacements of one application; none unless told."""

    def __init__(self, replacements: Mapping[str, str] | None = None) -> None:
        self._classes = {name: _replacement(name, where) for name, where in (replacements or {}).items()}

    @classmethod
    def parse(cls, options: Iterable[str]) -> "Configuration":
        """From options such as ``event_manager=package.module:Class``. Raises ConfigurationError."""
        replacements: dict[str, str] = {}
        for option in options:
            name, equals, where = option.partition("=")
            if not equals:
                raise ConfigurationError(f"{option!r} replaces nothing: write event_manager=package.module:Class")
            if name in replacements:
                raise ConfigurationError(f"{name} is replaced twice, by {replacements[name]} and {where}: choose one")
            replacements[name] = where
        return cls(replacements)

    def make(self, name: str, default: type, *arguments: Any) -> Any:
        """The base Ebb ``name``, made from ``arguments`` by its replacement, else by ``default``."""
        if name not in INTERFACES:
            raise ConfigurationError(_unknown(name))
        return self._classes.get(name, default)(*arguments)


def _replacement(name: str, where: str) -> type:
    """The class at ``where``, checked."""
    if name not in INTERFACES:
        raise ConfigurationError(_unknown(name))
    found = _load(where)
    interface = _load(INTERFACES[name])
    if not isinstance(found, type) or not issubclass(found, interface):
        raise ConfigurationError(f"{where} cannot be the {name}: make it a subclass of {INTERFACES[name]}")
    return found


def _load(where: str) -> Any:
    module_name, _, class_name = where.partition(":")
    if not module_name or not class_name:
        raise ConfigurationError(f"{where!r} names no class: write package.module:Class")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigurationError(
            f"the module {module_name} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    if not hasattr(module, class_name):
        raise ConfigurationError(f"the module {module_name} has no {class_name}")
    return getattr(module, class_name)


def _unknown(name: str) -> str:
    return f"{name!r} is not a base Ebb that can be replaced; these are: {', '.join(INTERFACES)}"
