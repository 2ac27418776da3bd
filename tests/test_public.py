"""The public names: complete, documented, and their examples true."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
import types

import pytest

import soundness

OPTIONAL = {"trl", "lm_eval"}
"""Packages that some modules need and that may be absent."""


def modules() -> list[str]:
    found = [one.name for one in pkgutil.walk_packages(soundness.__path__, "soundness.")]
    return ["soundness", *(name for name in found if name != "soundness.__main__")]


def load(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in OPTIONAL:
            pytest.skip(f"{error.name} is not installed")
        raise


def test_what_scripts_use_is_there():
    wanted = {
        "audit",
        "score",
        "load_model",
        "load_task",
        "open_run",
        "Probe",
        "Reading",
        "Model",
        "Task",
        "Run",
        "ScriptedModel",
    }
    assert wanted <= set(soundness.__all__)
    for name in soundness.__all__:
        assert getattr(soundness, name) is not None
        assert name in dir(soundness)
    assert list(soundness.__all__) == sorted(soundness.__all__)


def test_all_says_every_public_name():
    names = {name for name in soundness._WHERE if not name.startswith("_")}
    assert names == set(soundness.__all__)
    for name, where in soundness._WHERE.items():
        assert name in importlib.import_module(where).__all__, f"{name} is not public in {where}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'adit'"):
        soundness.adit  # noqa: B018


def test_the_public_functions_stay_callable_after_their_modules_are_imported():
    code = "import soundness; from soundness.auditing import rounds; assert callable(soundness.audit), soundness.audit"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import soundness; soundness.score; assert callable(soundness.audit), soundness.audit"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", modules())
def test_public_names_exist_and_say_what_they_are(name):
    module = load(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    for public in getattr(module, "__all__", []):
        thing = getattr(module, public)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert (thing.__doc__ or "").strip(), f"{name}.{public} has no docstring"
            generated = inspect.isclass(thing) and (thing.__doc__ or "").startswith(f"{public}(")
            assert not generated, f"{name}.{public} has only the docstring that dataclass makes"


@pytest.mark.parametrize("name", modules())
def test_examples_are_true(name):
    found = doctest.testmod(load(name))
    assert found.failed == 0
