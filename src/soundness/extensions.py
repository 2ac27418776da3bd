"""Objects from a user's own file or package, named as `my_file.py:MyGroup` or `package.module:MyGroup`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from soundness.errors import SettingError, describe, near

__all__ = ["is_file_reference", "is_reference", "load_object"]


def is_reference(text: str) -> bool:
    """Return whether `text` names an object in a file or package rather than something that we ship.

    >>> is_reference("my_file.py:MyGroup"), is_reference("my_package.metrics:MyGroup"), is_reference("info_gain")
    (True, True, False)
    """
    place, colon, name = text.rpartition(":")
    return bool(colon) and name.isidentifier() and (place.endswith(".py") or place.replace(".", "_").isidentifier())


def is_file_reference(text: str) -> bool:
    """Return whether `text` names an object in a Python file; where a colon may mean something else, a file alone is believed.

    >>> is_file_reference("my_file.py:MyModel"), is_file_reference("organism:base")
    (True, False)
    """
    return is_reference(text) and text.rpartition(":")[0].endswith(".py")


def load_object(reference: str, what: str) -> object:
    """Return the object that `reference` names; `what` says in messages what was wanted, such as `metric group`.

    The file is run, as any Python program is. Raises SettingError, in one line, where the file or package is missing, fails while it
    is loaded, or has no such name.
    """
    place, _, name = reference.rpartition(":")
    wanted = f"the {what} {reference}"
    module = _load_file(Path(place), wanted) if place.endswith(".py") else _import(place, wanted)
    if not hasattr(module, name):
        known = [key for key, value in vars(module).items() if not key.startswith("_") and callable(value)]
        raise SettingError(f"{wanted} is not there: {place} has no {name!r}{near(name, known)}")
    found: object = getattr(module, name)
    return found


def _load_file(path: Path, wanted: str) -> ModuleType:
    if not path.is_file():
        raise SettingError(f"{wanted} is not there: no file {path}")
    path = path.resolve()
    key = "soundness_extension_" + hashlib.blake2b(str(path).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    if key in sys.modules:  # the same file gives the same classes, however often it is named
        return sys.modules[key]
    spec = importlib.util.spec_from_file_location(key, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses look their module up while it is loaded
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's file raises, SystemExit included, is one line to its author
        raise SettingError(f"{wanted} cannot be loaded: {describe(error, path)}") from error
    finally:
        if sys.exc_info()[0] is not None:
            sys.modules.pop(key, None)
    return module


def _import(name: str, wanted: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SettingError(f"{wanted} is not there: {error}; give a file as my_file.py:NAME") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise SettingError(f"{wanted} cannot be loaded: {describe(error)}") from error
