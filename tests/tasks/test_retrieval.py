from __future__ import annotations

from pathlib import Path

import pytest

from soundness.errors import TaskError
from soundness.tasks.retrieval import Documents


def test_the_fitting_passage_comes_first(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Aspirin thins the blood.\n\nIbuprofen lowers fever.\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.jsonl").write_text('{"text": "Insulin lowers blood sugar."}\n')
    documents = Documents.load(tmp_path)
    assert len(documents.passages) == 3
    assert documents.search("What thins the blood?")[0] == "Aspirin thins the blood."
    assert documents.search("insulin sugar", 1) == ("Insulin lowers blood sugar.",)
    assert documents.search("zebra quagga") == ()
    assert documents.search("  ") == ()


def test_fingerprint_is_of_the_text(tmp_path: Path) -> None:
    assert Documents(["a", "b"]).fingerprint == Documents(["a", "b"], "elsewhere").fingerprint
    assert Documents(["a", "b"]).fingerprint != Documents(["ab"]).fingerprint


def test_digits_can_be_searched() -> None:
    assert Documents(["Room 7 is blue.", "Room 8 is red."]).search("room 8")[0] == "Room 8 is red."


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no .txt, .md, .jsonl file \\(found nothing\\)"),
        ({"a.pdf": "x"}, "found .pdf"),
        ({"a.txt": " \n\n "}, "hold no text"),
        ({"a.jsonl": "{"}, "a.jsonl line 1 is no JSON"),
        ({"a.jsonl": '{"txt": "x"}'}, "line 1 has no text"),
    ],
)
def test_a_bad_folder_says_what_is_missing(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(TaskError, match=message):
        Documents.load(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="is no folder"):
        Documents.load(tmp_path / "absent")
