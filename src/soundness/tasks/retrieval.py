"""A folder of documents, searched by BM25."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from soundness.errors import FileError, MissingPackage, TaskError
from soundness.files import JsonFault, parse_json, read_text

__all__ = ["SUFFIXES", "Documents"]

SUFFIXES = (".txt", ".md", ".jsonl")
"""Files that are read: text by paragraph, JSON Lines by the field `text` of each line."""

_LONGEST = 120  # words; a passage has to fit a prompt several times


class Documents:
    """Passages that can be searched."""

    def __init__(self, passages: Sequence[str], name: str = "documents") -> None:
        self.passages = tuple(passages)
        """Texts of up to a paragraph."""
        self.name = name
        if not self.passages:
            raise TaskError(f"{name} holds no text to search")
        self._index: Any = None

    @classmethod
    def load(cls, folder: str | Path) -> Documents:
        """Return the passages of every text file below `folder`, in the order of their paths.

        Raises TaskError where there is no such folder, no file of a known kind in it, or no text in these.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise TaskError(f"--documents {folder} is no folder; give one with {', '.join(SUFFIXES)} files in it")
        files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
        if not files:
            found = ", ".join(sorted({path.suffix or path.name for path in folder.rglob("*") if path.is_file()})[:5])
            raise TaskError(
                f"{folder} holds no {', '.join(SUFFIXES)} file (found {found or 'nothing'}): put the documents there"
            )
        passages = [passage for path in files for passage in _passages(path)]
        if not passages:
            raise TaskError(f"the {len(files)} files in {folder} hold no text; documents need at least one paragraph")
        return cls(passages, str(folder))

    @property
    def fingerprint(self) -> str:
        """Hex digest of all passages."""
        return blake2b("\0".join(self.passages).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def search(self, query: str, num: int = 3) -> tuple[str, ...]:
        """Return the `num` passages that fit `query` best, best first; those that share no word with it are left out.

        Raises MissingPackage without bm25s.
        """
        try:
            import bm25s
        except ImportError:
            raise MissingPackage("bm25s", "searching documents") from None
        if self._index is None:
            self._index = bm25s.BM25()
            tokens = bm25s.tokenize([_spaced(passage) for passage in self.passages], stopwords=None, show_progress=False)
            self._index.index(tokens, show_progress=False)
        wanted = bm25s.tokenize([_spaced(query)], stopwords=None, show_progress=False)
        if not wanted.vocab:
            return ()
        places, scores = self._index.retrieve(wanted, k=min(num, len(self.passages)), show_progress=False)
        return tuple(self.passages[int(i)] for i, score in zip(places[0], scores[0], strict=True) if score > 0)


def _spaced(text: str) -> str:
    """Return words alone: the tokenizer drops words of one letter, which digits often are."""
    return re.sub(r"(?<!\w)(\w)(?!\w)", r"\1_", text)


def _passages(path: Path) -> Iterator[str]:
    try:
        text = read_text(path)
    except FileError as error:
        raise TaskError(f"{error}; mend it or take it out of the folder") from error
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield from _cut(_field(path, number, line))
    else:
        for paragraph in re.split(r"\n\s*\n", text):
            yield from _cut(paragraph)


def _field(path: Path, number: int, line: str) -> str:
    try:
        row = parse_json(line)
    except JsonFault as error:
        raise TaskError(f"{path} line {number} is no JSON ({error}); each line is an object with a field text") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise TaskError(f"{path} line {number} has no text; each line is an object with a field text")
    return str(row["text"])


def _cut(paragraph: str) -> Iterator[str]:
    """Yield a paragraph in stretches of at most `_LONGEST` words."""
    words = paragraph.split()
    for start in range(0, len(words), _LONGEST):
        yield " ".join(words[start : start + _LONGEST])
