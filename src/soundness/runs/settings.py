"""The settings of a run: what defines a measurement, what may grow, and what is never written down."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any

from soundness.errors import RunError

__all__ = ["EXTENDED", "FREE", "GROWING", "code_digest", "merge", "versions", "without_secrets"]

GROWING = ("metrics", "samples")
"""Settings that a resumed run may extend: names are united, counts grow; neither ever shrinks."""

EXTENDED = ("models", "tuned")
"""Settings that a resumed run may add to; whatever was there has to be named again."""

PROBLEMS = ("num_problems", "task_fingerprint")
"""Settings that change together where problems are added."""

FREE = ("out", "resume", "batch_size", "dry_run", "quiet")
"""Settings that change nothing that is measured; a resumed run takes the new ones."""

PACKAGES = (
    "soundness",
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "tokenizers",
    "numpy",
    "scipy",
    "pyarrow",
    "math-verify",
)

HIDDEN = "(hidden)"

_MOST_SHOWN = 3
"""Differing entries of one setting that a message names."""

# `key` and `auth` only as whole words: there are keywords and authors.
SECRET_WORDS = {"key", "keys", "apikey", "auth", "authorization", "bearer", "cookie", "cookies", "pat"}
SECRET_PARTS = ("password", "passwd", "passphrase", "secret", "credential")
SECRET_TOKEN = re.compile(r"token(?!i[sz])", re.IGNORECASE)


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of each package a result depends on, None where one is not installed; imports none."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return a digest of this package's own source: the same settings and the same code give the same results."""
    root = Path(__file__).parents[1]
    digest = blake2b(digest_size=16)
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings` as plain JSON values without anything that looks like a secret.

    Left out are entries whose name speaks of a password, secret, credential, key or token, unless they are plain numbers (such
    as `max_tokens`). Text that holds the value of an environment variable of such a name, or a password inside an address, is
    hidden.

    >>> without_secrets({"max_tokens": 64, "api_key": "abc", "server": "http://me:pw@host/v1"})
    {'max_tokens': 64, 'server': 'http://(hidden)@host/v1'}
    """
    secrets = [value for name, value in os.environ.items() if len(value) >= 8 and _is_secret(name, value)]
    plain = json.loads(json.dumps(dict(settings), allow_nan=False, default=_plain))
    cleaned = _clean(plain, secrets)
    assert isinstance(cleaned, dict)
    return cleaned


def _clean(value: Any, secrets: Sequence[str]) -> Any:
    """Return a JSON value without secret entries and with secret texts hidden."""
    if isinstance(value, dict):
        return {name: _clean(part, secrets) for name, part in value.items() if not _is_secret(name, part)}
    if isinstance(value, list):
        return [_clean(part, secrets) for part in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return re.sub(r"(?<=://)[^/\s@]+(?=@)", HIDDEN, value)
    return value


def _is_secret(name: str, value: Any) -> bool:
    """Return whether an entry's name says that it is a secret; numbers, switches and absences are none, passwords apart."""
    if any(part in name.lower() for part in SECRET_PARTS):
        return True
    if value is None or isinstance(value, (bool, int, float)):
        return False
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))
    return bool(words & SECRET_WORDS) or SECRET_TOKEN.search(name) is not None


def _plain(value: Any) -> Any:
    """Return a JSON value for what `json` does not know: a path as text, a set sorted."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a run's settings are JSON values, and {value!r} is none")


def merge(
    path: Path,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    growing: Sequence[str] = GROWING,
    extended: Sequence[str] = EXTENDED,
    free: Sequence[str] = FREE,
    first_problems: Callable[[int], str] | None = None,
) -> dict[str, Any]:
    """Return the settings of a run that is taken up again.

    What is named in `growing` is united, what is named in `extended` may have entries added, what is named in `free` is the new
    one. With `first_problems`, which gives the fingerprint of the first n problems asked now, problems may be added behind those
    of the folder. Raises RunError listing every setting that defines the measurement and differs.
    """
    merged: dict[str, Any] = {}
    differing = []
    more = PROBLEMS if first_problems is not None and _has_more_problems(old, new, first_problems) else ()
    for name in dict.fromkeys([*old, *new]):
        one, two = old.get(name), new.get(name)
        both = name in old and name in new
        if name in free:
            merged[name] = two if name in new else one
        elif name in more or (both and name in extended and _is_extended(one, two)):
            merged[name] = two
        elif both and name in growing and (grown := _grow(one, two)) is not None:
            merged[name] = grown
        elif (name in old) != (name in new) or one != two:
            differing.extend(_differences(old, new, name))
        else:
            merged[name] = one
    if differing:
        grows = "" if first_problems is None else " (problems and models can be added to a folder and not left out)"
        raise RunError(
            f"{path} was made with other settings: {'; '.join(differing)}; "
            f"use another --out for a new run, or the settings given there to resume this one{grows}"
        )
    return merged


def _has_more_problems(old: Mapping[str, Any], new: Mapping[str, Any], first_problems: Callable[[int], str]) -> bool:
    """Return whether the problems asked now are those of the folder and some more behind them."""
    before, now = (settings.get("num_problems") for settings in (old, new))
    if not (isinstance(before, int) and isinstance(now, int) and 0 < before < now):
        return False
    return first_problems(before) == old.get("task_fingerprint")


def _is_extended(old: Any, new: Any) -> bool:
    """Return whether a list or an object holds all that was there, the same, and more."""
    if isinstance(old, list) and isinstance(new, list):
        return len(new) > len(old) and all(entry in new for entry in old)
    if isinstance(old, dict) and isinstance(new, dict):
        return len(new) > len(old) and all(name in new and new[name] == value for name, value in old.items())
    return False


def _grow(old: Any, new: Any) -> Any | None:
    """Return the union of two lists of names or the greater of two counts, or None where they are neither."""
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *(name for name in new if name not in old)]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in (old, new)):
        return max(old, new)
    return None


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> list[str]:
    """Return how a setting differs, for a message; of a mapping the first entries that do."""
    one, two = old.get(name), new.get(name)
    if not (isinstance(one, dict) and isinstance(two, dict)):
        return [f"{name} is {_shown(old, name)} there, {_shown(new, name)} now"]
    keys = [key for key in dict.fromkeys([*one, *two]) if (key in one) != (key in two) or one.get(key) != two.get(key)]
    more = [f"and {len(keys) - _MOST_SHOWN} more of {name}"] if len(keys) > _MOST_SHOWN else []
    return [f"{name}[{key!r}] is {_shown(one, key)} there, {_shown(two, key)} now" for key in keys[:_MOST_SHOWN]] + more


def _shown(settings: Mapping[str, Any], name: str) -> str:
    """Return a setting's value for a message."""
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else "absent"
