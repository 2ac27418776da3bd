"""Text and ids agree at every seam, and none of it needs torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.models.tokens import decode, encode_fragment, token_pieces, vocabulary_digest


def test_torch_is_not_needed():
    code = "import sys, soundness.models.tokens, soundness.models.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def tokenizers(tiny):
    return {"bytes": tiny.byte_tokenizer(), "metaspace": tiny.metaspace_tokenizer()}


@settings(max_examples=60, deadline=None, database=None)
@given(st.text(st.sampled_from("ab 1\n.é√🙂中")), st.sampled_from(["bytes", "metaspace"]))
def test_pieces_join_to_the_text(tokenizers, text, kind):
    tokenizer = tokenizers[kind]
    ids = encode_fragment(tokenizer, text)
    pieces = token_pieces(lambda some: decode(tokenizer, some), ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == decode(tokenizer, ids)
    if kind == "bytes":
        assert decode(tokenizer, ids) == text


def test_a_character_belongs_to_its_last_token(tokenizers):
    tokenizer = tokenizers["bytes"]
    ids = encode_fragment(tokenizer, "a🙂b")
    assert token_pieces(lambda some: decode(tokenizer, some), ids) == ["a", "", "", "", "🙂", "b"]


def test_a_decoder_that_depends_on_all_before_still_joins():
    """As decoders do that capitalise, or write blanks by what stood long before."""

    def text_of(ids):
        return "".join(chr(token) for token in ids) + ("!" if len(ids) > 30 else "?")

    ids = [97] * 40
    assert "".join(token_pieces(text_of, ids)) == text_of(ids)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("\nAnswer:", ["<0x0A>", *"Answer:"]),
        (" 12\n", ["▁12", "<0x0A>"]),
        ("12", ["12"]),
        ("the", ["the"]),
        ("\n", ["<0x0A>"]),
    ],
)
def test_a_dummy_space_is_not_put_in_front_of_a_fragment(tokenizers, text, pieces):
    tokenizer = tokenizers["metaspace"]
    ids = encode_fragment(tokenizer, text)
    assert tokenizer.convert_ids_to_tokens(ids) == pieces
    # Behind another text the fragment reads exactly as asked.
    before = tokenizer.encode("so", add_special_tokens=False)
    assert tokenizer.decode(before + ids) == tokenizer.decode(before) + text
    if text == "12":
        assert tokenizer.convert_ids_to_tokens(tokenizer.encode("12", add_special_tokens=False)) == ["▁12"], "it would have"


def test_vocabularies_are_told_apart_by_their_tokens_in_order(tokenizers, tiny):
    assert vocabulary_digest(tokenizers["bytes"]) == vocabulary_digest(tiny.byte_tokenizer())
    grown = tiny.byte_tokenizer()
    grown.add_tokens(["<more>"])
    assert len({vocabulary_digest(one) for one in (grown, *tokenizers.values())}) == 3
