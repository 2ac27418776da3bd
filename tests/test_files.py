from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness import files
from soundness.errors import FileError
from soundness.files import (
    JsonFault,
    check_can_write_file,
    check_can_write_folder,
    file_digest,
    inside,
    json_digest,
    make_folder,
    parse_json,
    read_json,
    read_json_lines,
    read_text,
    read_toml,
    remove_leftovers,
    replace_file,
    write_bytes,
    write_json,
    write_text,
)

NO_PERMISSIONS = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may write everywhere")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "ä\r\nb\n")
    assert path.read_bytes() == b"\xc3\xa4\r\nb\n"
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "whole \ud800")

    def half(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FileError, match=r"note\.txt cannot be written \(No space left on device\): free some disk space"):
        replace_file(path, half)

    def mistake(file: BinaryIO) -> None:
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        replace_file(path, mistake)
    assert path.read_bytes() == b"\xc3\xa4\r\nb\n"
    assert names(tmp_path) == ["note.txt"]


def test_a_link_that_was_planted_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    folder = make_folder(tmp_path / "run")
    for name in ("run.json", ".run.json.part", "..writer.part", ".0123456789abcdef.part"):
        (folder / name).symlink_to(thesis)
    write_json(folder / "run.json", {"a": 1})
    remove_leftovers(folder)
    assert thesis.read_text() == "years of work"
    assert names(folder) == ["run.json"] and not (folder / "run.json").is_symlink()


def test_the_name_of_a_file_being_written_cannot_be_foreseen_and_is_not_opened_if_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    for _ in range(2):
        replace_file(tmp_path / "a", lambda file: seen.append(set(names(tmp_path)) - {"a"}))
    assert len(seen[0]) == len(seen[1]) == 1 and seen[0] != seen[1]
    # Even a name that was foreseen is only ever made, never opened.
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".{'0' * 16}.part").symlink_to(victim)
    monkeypatch.setattr(files.secrets, "token_hex", lambda length: "0" * 2 * length)
    with pytest.raises(FileError, match="no unused name"):
        write_text(tmp_path / "b", "text")
    assert victim.read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are a Unix thing")
def test_permissions_are_kept_and_new_files_have_the_usual_ones(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "1")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    (tmp_path / "a").chmod(0o600)
    write_text(tmp_path / "a", "2")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="devices are a Unix thing")
def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    write_text(os.devnull, "text")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    code = "from soundness.files import write_text; write_text('/dev/stdout', 'told\\n')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "told\n"
    with pytest.raises(FileError, match="it is a folder, and a file was wanted"):
        write_text(tmp_path, "text")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value
    assert json_digest(read_json(path)) == json_digest(value)


def test_a_lone_surrogate_comes_back_too(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", ["\ud800 half"])
    assert read_json(tmp_path / "a.json") == ["\ud800 half"]


BAD_JSON = {
    '{"a": ': r"malformed JSON \(Expecting value at column 7\)",
    '{\n"a": x}': "at line 2 column 6",
    "[NaN]": "NaN is not JSON; write null",
    "[-Infinity]": "-Infinity is not JSON",
    "[1e999]": "the number 1e999 is too large",
    "[" + "9" * 400 + ".0]": r"the number 9{37}\.\.\. is too large",
    "[" + "7" * 5000 + "]": "a whole number has 5,000 digits, and at most 4,300 can be used",
    "[" * 101 + "]" * 101: "nested too deeply",
    "[" * 700 + "]" * 700: "nested too deeply",
    "[" * 100_000: "nested too deeply|malformed",
    '{"a":' * 3_000 + "1" + "}" * 3_000: "nested too deeply",
}


@pytest.mark.parametrize("text", BAD_JSON, ids=range(len(BAD_JSON)))
def test_json_beyond_the_limits_is_one_short_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(JsonFault, match=BAD_JSON[text]) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FileError, match=r"a\.json is no JSON that can be used") as found:
        read_json(tmp_path / "a.json")
    assert len(str(found.value)) < 400
    (tmp_path / "a.jsonl").write_text('{"fine": 1}\n\n' + text.replace("\n", " "))
    rows = read_json_lines(tmp_path / "a.jsonl")
    assert next(rows) == (1, {"fine": 1})
    with pytest.raises(FileError, match=r"a\.jsonl line 3: ") as found:
        next(rows)
    assert len(str(found.value)) < 500


def test_what_is_within_the_limits_is_read() -> None:
    assert parse_json("[" * 100 + "]" * 100)
    assert parse_json("7" * 4300) == int("7" * 4300)
    assert parse_json(b'"\\u2028"') == "\u2028"


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"q": "a\xe2\x80\xa8b"}\r\n{"q": 2}')
    assert list(read_json_lines(path)) == [(1, {"q": "a\u2028b"}), (2, {"q": 2})]
    assert read_text(path).startswith('{"q"')
    for content in ("{}".encode("utf-16"), "{}".encode("utf-16-be"), b'{"a": "caf\xe9"}', b"\xff\xfe"):
        path.write_bytes(content)
        for read in (read_json, read_toml, lambda p: list(read_json_lines(p))):
            with pytest.raises(FileError, match="save it as UTF-8|is no|malformed"):
                read(path)
    with pytest.raises(FileError, match="it is UTF-16; save it as UTF-8"):
        read_text(path)
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(path) == {"a": 1}


BAD_TOML = {
    "a = ": "Invalid value",
    "a = 1e999": "inf is no number",
    "a = nan": "nan is no number",
    f"a = {'7' * 5000}": "digits",
    "a = " + "[" * 150 + "]" * 150: "nested too deeply",
    "a = " + "[" * 3000 + "]" * 3000: "nested too deeply|Invalid value|recursion",
    "a" + ".a" * 150 + " = 1": "nested too deeply",
}


@pytest.mark.parametrize("text", BAD_TOML, ids=range(len(BAD_TOML)))
def test_toml_beyond_the_limits_is_one_short_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(FileError, match=BAD_TOML[text]) as caught:
        read_toml(tmp_path / "a.toml")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_files_that_cannot_be_read_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(FileError, match=r"there is no file .*row\.jsonl \(did you mean 'rows\.jsonl'\?\)"):
        read_text(tmp_path / "row.jsonl")
    with pytest.raises(FileError, match=r"the folder .*no does not exist either"):
        read_json(tmp_path / "no" / "a.json")
    with pytest.raises(FileError, match="is a folder, and a file was wanted"):
        read_toml(tmp_path)
    for name in ("x" * 300, "null\0byte"):
        with pytest.raises(FileError, match="cannot be read"):
            read_text(tmp_path / name)
        with pytest.raises(FileError, match="cannot be read"):
            list(read_json_lines(tmp_path / name))
    with pytest.raises(FileError, match="larger than 2 bytes"):
        read_text(tmp_path / "rows.jsonl", most_bytes=2)
    monkeypatch.setattr(files, "MOST_LINE_BYTES", 1)
    with pytest.raises(FileError, match="line 1 is longer than 1 bytes"):
        list(read_json_lines(tmp_path / "rows.jsonl"))


def test_where_nothing_can_be_written_is_said_before_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_can_write_file(tmp_path / "new" / "deep" / "a.json")
    check_can_write_folder(tmp_path / "new" / "deep")
    check_can_write_file(tmp_path / "file")
    check_can_write_file(os.devnull)
    assert names(tmp_path) == ["file"]
    for name in ("file/a.json", "file/deep/a.json", "x" * 300, "x" * 300 + "/a", "null\0byte", "."):
        with pytest.raises(FileError, match="could not be written .*: name another file"):
            check_can_write_file(tmp_path / name)
    for name in ("file", "file/deep", "x" * 300, "null\0byte"):
        with pytest.raises(FileError, match="nothing could be written into .*: name another folder"):
            check_can_write_folder(tmp_path / name)
        with pytest.raises(FileError, match="cannot be made"):
            make_folder(tmp_path / name)
    for name in ("file/a.json", "x" * 300, "null\0byte", "none/a.json"):
        with pytest.raises(FileError, match="cannot be written"):
            write_text(tmp_path / name, "text")


@NO_PERMISSIONS
def test_a_folder_without_permission_is_said_before(tmp_path: Path) -> None:
    locked = make_folder(tmp_path / "locked")
    locked.chmod(0o500)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            check_can_write_file(locked / "a" / "b.json")
        with pytest.raises(FileError, match="Permission denied"):
            write_bytes(locked / "a", b"")
    finally:
        locked.chmod(0o700)


def test_names_stay_inside_their_folder(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "run")
    (root / "out").symlink_to(tmp_path)
    assert inside(root, "a/b.json") == (root / "a" / "b.json").resolve()
    for name in ("../a", "/etc/passwd", "a/../../b", "", ".", "out/secret", "null\0byte"):
        with pytest.raises(FileError, match="leads out of|no name of a file"):
            inside(root, name)


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert (
        file_digest(tmp_path / "a") == "cf4ab791c62b8d2b2109c90275287816"
    )  # blake2b with 16 bytes, from Python's documentation
    assert json_digest({"a": [1.0, None], "b": "é"}) == json_digest(json.loads('{"b": "é", "a": [1.0, null]}'))
    assert json_digest([1, 2]) != json_digest([2, 1])
    with pytest.raises(FileError, match="there is no file"):
        file_digest(tmp_path / "b")


def test_importing_is_cheap() -> None:
    code = "import soundness.files, sys; print([m for m in ('torch', 'pyarrow', 'numpy', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
