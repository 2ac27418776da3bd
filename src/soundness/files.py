"""Files: read within limits, and written whole or not at all, never through somebody else's link.

Whatever a user hands in is read here: its size, its encoding, how deep it is nested and how long its numbers are have bounds, so
that a file can neither exhaust the memory nor fail far from where it was read. Whatever is written goes through a new file with a
name that nobody can foresee, is flushed to the disk, and then takes the place of the old one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from soundness.errors import FileError, near

__all__ = [
    "MOST_BYTES",
    "MOST_DEPTH",
    "MOST_DIGITS",
    "MOST_LINE_BYTES",
    "JsonFault",
    "check_can_write_file",
    "check_can_write_folder",
    "file_digest",
    "inside",
    "json_digest",
    "is_leftover",
    "json_text",
    "make_folder",
    "parse_json",
    "read_json",
    "read_json_lines",
    "read_text",
    "read_toml",
    "remove_leftovers",
    "unfinished_name",
    "replace_file",
    "write_bytes",
    "write_json",
    "write_text",
]

MOST_BYTES = 1 << 30
"""Largest file that is read into memory as a whole (1 GiB)."""

MOST_LINE_BYTES = 64 << 20
"""Longest line of a JSON Lines file (64 MiB); a file may have any number of them."""

MOST_DEPTH = 100
"""Deepest nesting of JSON or TOML: Python reads some 1,000 levels and writes fewer, and no data of ours has ten."""

MOST_DIGITS = 4_300
"""Longest whole number, Python's own limit (sys.int_info.default_max_str_digits): a longer one cannot be written out again."""

LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.part|\.[\w-]+\.(json|jsonl|parquet|html)\.part|\.\.writer\.part")
"""Names of half-written files that a killed process left: ours, and those of version 0.1, which could be foreseen."""

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would change line ends otherwise

Value = TypeVar("Value")


class JsonFault(ValueError):
    """Text that is no JSON, or JSON beyond the limits; the message says what is wrong, in one short line."""


def replace_file(path: str | Path, write: Callable[[BinaryIO], None]) -> None:
    """Put what `write(file)` writes in place of `path`, whole or not at all, and flushed to the disk.

    The new file keeps the permissions of the old one. A symbolic link at `path` is replaced, what it points to is untouched. What
    is no ordinary file, such as /dev/stdout or a pipe, is written to directly. Raises FileError where the disk is full or the
    folder cannot be written; the old file is untouched then.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        if (special := _special(path)) is not None:
            with special:
                write(special)
            return
        temporary, handle = _new_file(path.parent)
        with os.fdopen(handle, "wb") as file:
            _keep_permissions(path, file)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
        _flush_folder(path.parent)
    except OSError as error:
        raise FileError(
            f"{path} cannot be written ({_reason(error)}): free some disk space or check the permissions of "
            "its folder, then run the same command again; what was written before is kept"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Put `content` in place of the file `path`, whole or not at all. Raises FileError as `replace_file` does."""
    replace_file(path, lambda file: _put(file, content))


def write_text(path: str | Path, text: str) -> None:
    """Put `text`, in UTF-8, in place of the file `path`, whole or not at all. Raises FileError as `replace_file` does."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any, *, indent: int | None = 1, sort_keys: bool = False) -> None:
    """Put `value` as JSON in place of the file `path`, whole or not at all. Raises FileError as `replace_file` does.

    No NaN, floats that read back to the last bit; raises ValueError for what is no JSON.
    """
    # A lone surrogate becomes the escape that JSON has for it.
    write_bytes(path, json_text(value, indent=indent, sort_keys=sort_keys).encode("utf-8", "backslashreplace"))


def json_text(value: Any, *, indent: int | None = 1, sort_keys: bool = False) -> str:
    """Return `value` as JSON with a newline at its end; raises ValueError for NaN and infinities."""
    return json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n"


def read_text(path: str | Path, *, most_bytes: int = MOST_BYTES) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises FileError, saying what to do, where it is missing, a folder, larger than `most_bytes`, not UTF-8 or not to be read.
    """
    path = Path(path)
    return _decode(_read_bytes(path, most_bytes), str(path))


def read_json(path: str | Path, *, most_bytes: int = MOST_BYTES) -> Any:
    """Return the value of a JSON file; raises FileError where it cannot be read, is no JSON or is beyond the limits."""
    text = read_text(path, most_bytes=most_bytes)
    try:
        return parse_json(text)
    except JsonFault as fault:
        raise FileError(f"{path} is no JSON that can be used: {fault}; restore it from a copy") from None


def read_json_lines(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) of a JSON Lines file or pipe, empty lines left out; one line is held at a time.

    Only a newline ends a line: U+2028 may stand inside a JSON string. Raises FileError naming file and line.
    """
    path = Path(path)
    with _opened(path, pipes=True) as file:
        for number, raw in enumerate(_lines(file, path), start=1):
            line = _decode(raw, f"{path} line {number}", first=number == 1).strip()
            if not line:
                continue
            try:
                yield number, parse_json(line)
            except JsonFault as fault:
                raise FileError(f"{path} line {number}: {fault}: {_short(line)}") from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the table of a TOML file; raises FileError where it cannot be read, is no TOML or is beyond the limits of JSON."""
    text = read_text(path)
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise FileError(f"{path} is not TOML: nested too deeply, at most {MOST_DEPTH} levels") from None
    except ValueError as error:  # TOMLDecodeError, and Python's own for a number of too many digits
        raise FileError(f"{path} is not TOML: {_short(str(error).splitlines()[0], 200)}") from None
    try:
        check_value(table)
    except JsonFault as fault:
        raise FileError(f"{path}: {fault}") from None
    return table


def parse_json(text: str | bytes) -> Any:
    r"""Return the value that JSON text holds.

    Raises JsonFault where it is no JSON, and for NaN, an infinity (1e999), a whole number of more than MOST_DIGITS digits and a
    nesting deeper than MOST_DEPTH.

    >>> parse_json('{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    >>> parse_json("1e999")
    Traceback (most recent call last):
        ...
    soundness.files.JsonFault: the number 1e999 is too large
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno} column {error.colno}"
        raise JsonFault(f"malformed JSON ({error.msg} at {where})") from None
    except UnicodeDecodeError as error:
        raise JsonFault(f"not UTF-8 ({error.reason} at byte {error.start})") from None
    except RecursionError:
        raise JsonFault(f"nested too deeply: at most {MOST_DEPTH} levels can be used") from None
    _check_depth(value)
    return value


def check_value(value: Any) -> None:
    """Raise JsonFault where a value of lists, dictionaries, texts and numbers is beyond what `parse_json` lets through."""
    _check_depth(value)
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            rest.extend(part.values())
        elif isinstance(part, list):
            rest.extend(part)
        elif isinstance(part, float) and not math.isfinite(part):
            raise JsonFault(f"{part} is no number that can be used")
        elif isinstance(part, int) and part.bit_length() > MOST_DIGITS * 3.3:
            raise JsonFault(f"a whole number has more than {MOST_DIGITS:,} digits")


def check_can_write_file(path: str | Path) -> None:
    """Raise FileError where a file at `path` could not be written, its folders made on the way: asked before work begins.

    Nothing is left behind. What the disk will hold by the time of the writing nobody can promise.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder, and a file was wanted")
        if path.exists() and not path.is_file():
            return
        _try_folder(path.parent)
        with suppress(FileNotFoundError):
            path.lstat()  # a name that the file system refuses, such as one of 300 letters
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise FileError(f"{path} could not be written ({_reason(error)}): name another file") from None


def check_can_write_folder(path: str | Path) -> None:
    """Raise FileError where no file could be written into the folder `path`, made on the way: asked before work begins."""
    try:
        _try_folder(Path(path))
    except (OSError, ValueError) as error:
        raise FileError(f"nothing could be written into {path} ({_reason(error)}): name another folder") from None


def make_folder(path: str | Path) -> Path:
    """Return the folder `path`, made with all above it where it is absent; raises FileError where that is impossible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise FileError(f"the folder {path} cannot be made ({_reason(error)}): name another folder") from None
    return path


def inside(folder: str | Path, name: str) -> Path:
    """Return the path of `name` in `folder`, links followed; raises FileError where it leads out of the folder."""
    root = Path(folder).resolve()
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise FileError(f"{name!r} is no name of a file in {folder} ({_reason(error)})") from None
    if path == root or not path.is_relative_to(root):
        raise FileError(f"{name!r} leads out of {folder}: nothing outside of that folder is read or written")
    return path


def unfinished_name(folder: Path) -> Path:
    """Return a path in `folder` that nobody can foresee and that `remove_leftovers` removes."""
    return folder / f".{secrets.token_hex(8)}.part"


def remove_leftovers(folder: Path) -> None:
    """Remove half-written files that a killed process left in `folder`; links go, what they point to stays."""
    with suppress(OSError):
        for path in folder.iterdir():
            if is_leftover(path):
                with suppress(OSError):
                    path.unlink()


def is_leftover(path: Path) -> bool:
    """Return whether `path` is named like a file that was being written when its process was killed."""
    return LEFTOVER.fullmatch(path.name) is not None


def file_digest(path: str | Path) -> str:
    """Return 32 hexadecimal digits (blake2b, 16 bytes) of a file's content; raises FileError where it cannot be read."""
    path = Path(path)
    with _opened(path) as file:
        try:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except OSError as error:
            raise FileError(f"{path} cannot be read ({_reason(error)})") from error


def json_digest(value: Any) -> str:
    """Return 32 hexadecimal digits (blake2b, 16 bytes) of a JSON value; the order of an object's keys does not matter.

    >>> json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _put(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _new_file(folder: Path) -> tuple[Path, int]:
    """Return a new, empty file in `folder` and its handle: made here, and no link."""
    for _ in range(100):
        path = unfinished_name(folder)
        with suppress(FileExistsError):
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS | _BINARY, 0o666)
    raise FileExistsError(errno.EEXIST, "no unused name was found")


def _special(path: Path) -> BinaryIO | None:
    """Return `path` opened for writing where it is a device, a pipe or a socket; None where a file is or can be made."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, and a file was wanted")
    return path.open("wb")


def _keep_permissions(path: Path, file: BinaryIO) -> None:
    """Give the new file the permissions of the one it will replace."""
    if not hasattr(os, "fchmod"):
        return
    with suppress(OSError):
        old = path.lstat()
        if stat.S_ISREG(old.st_mode):
            os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))


def _flush_folder(path: Path) -> None:
    """Have the operating system put a folder's list of names on the disk."""
    if os.name == "nt":  # Windows cannot open a folder, and needs not
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such thing
            raise
    finally:
        os.close(handle)


def _try_folder(path: Path) -> None:
    """Raise OSError where no file can be made in the nearest folder above `path` that exists, or that is none."""
    while not path.exists() and path != path.parent:
        with suppress(FileNotFoundError):
            path.lstat()  # raises for a name that the file system refuses
        path = path.parent
    temporary, handle = _new_file(path)
    os.close(handle)
    temporary.unlink()


def _opened(path: Path, *, pipes: bool = False) -> BufferedReader:
    """Return a file opened for reading; raises FileError, with near names, where there is none.

    A pipe, which may never end or begin, is opened only with `pipes`.
    """
    try:
        if path.is_dir():
            raise FileError(f"{path} is a folder, and a file was wanted")
        if not pipes and path.exists() and not path.is_file():
            raise FileError(f"{path} is a pipe or a device, and a file was wanted")
        return path.open("rb")
    except FileNotFoundError:
        names: list[str] = []
        with suppress(OSError):
            names = [beside.name for beside in path.parent.iterdir()]
        where = "" if path.parent.is_dir() else f"; the folder {path.parent} does not exist either"
        raise FileError(f"there is no file {path}{near(path.name, names)}{where}") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read ({_reason(error)})") from None


def _read_bytes(path: Path, most: int) -> bytes:
    with _opened(path) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise FileError(f"{path} cannot be read ({_reason(error)})") from error
    if len(content) > most:
        raise FileError(f"{path} is larger than {most:,} bytes, which is the most that is read here")
    return content


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    number = 0
    while True:
        try:
            line = file.readline(MOST_LINE_BYTES + 1)
        except OSError as error:
            raise FileError(f"{path} cannot be read ({_reason(error)})") from error
        if not line:
            return
        number += 1
        if len(line) > MOST_LINE_BYTES:
            raise FileError(f"{path} line {number} is longer than {MOST_LINE_BYTES:,} bytes; JSON Lines has one object a line")
        yield line


def _decode(content: bytes, place: str, *, first: bool = True) -> str:
    """Return bytes as text; `first` where a byte order mark may stand in front."""
    for mark, name in ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")):
        if first and content.startswith(mark):
            raise FileError(f"{place}: it is {name}; save it as UTF-8")
    try:
        return content.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{place}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None


def _refuse_constant(name: str) -> NoReturn:
    raise JsonFault(f"{name} is not JSON; write null")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonFault(f"the number {_short(text, 40)} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise JsonFault(f"a whole number has {len(text):,} digits, and at most {MOST_DIGITS:,} can be used; write it as text")
    return int(text)


def _check_depth(value: Any) -> None:
    """Raise JsonFault where lists and objects are nested deeper than MOST_DEPTH."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for part in level
            if isinstance(part, (dict, list))
            for inner in (part.values() if isinstance(part, dict) else part)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise JsonFault(f"nested too deeply: at most {MOST_DEPTH} levels can be used")


def _reason(error: BaseException) -> str:
    """Return in a few words why the operating system refused."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
