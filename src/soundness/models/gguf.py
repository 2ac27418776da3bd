"""GGUF files as ordinary transformers folders: dequantised once, kept in the user's cache.

The weights written are the file's own values, `scale * integer + minimum` worked out in float32, and they are stored in the
narrowest float type that holds every one of them exactly. Quantised files nearly always need float32 for that: a Q4_1 weight
has up to 15 significant bits and a Q8_0 weight up to 18, where bfloat16 has 8 and float16 has 11.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from soundness.errors import MissingPackage, ModelError, SettingError, near
from soundness.files import file_digest, write_json

__all__ = ["cache_folder", "convert"]

DTYPES = ("auto", "float32", "float16", "bfloat16")
RECORD = "soundness_conversion.json"

# Part of the cache key: raise it when the same file would be converted differently.
CONVERTER_VERSION = 1

# `tokenizer.ggml.pre` values whose text is cut into single digits before the GPT-2 rule applies: src/llama-vocab.cpp of
# llama.cpp gives them the expressions `\p{N}` and then GPT-2's. transformers (5.23) knows none of them and falls back to
# GPT-2's rule alone, which cuts "\n\n1." into other tokens than the model was trained on.
SINGLE_DIGITS = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
# Values for which GPT-2's rule alone is the right one (same source).
PLAIN_GPT2 = frozenset({"gpt-2", "gpt2", "mpt", "olmo", "jais", "trillion", "phi-2", "roberta-bpe", "jina-es", "jina-de"})

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return where converted models are kept: `$SOUNDNESS_CACHE`, else `soundness` under `$XDG_CACHE_HOME` or `~/.cache`."""
    if own := os.environ.get("SOUNDNESS_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared).expanduser() if shared else Path.home() / ".cache") / "soundness"


def convert(gguf_file: Path, *, dtype: str = "auto") -> Path:
    """Return a folder with the dequantised weights of `gguf_file` as safetensors, its tokenizer and its chat template.

    The folder lies in `cache_folder()` under the hash of the file's content, so a file is converted once, wherever it lies
    and whoever asks; later calls only hash it (about 0.1 s per 100 MB). It appears complete or not at all.

    Args:
        gguf_file: The file, in one piece.
        dtype: Float type to store: `float32`, `float16`, `bfloat16`, or `auto` for the narrowest that loses nothing.

    Raises:
        ModelError: There is no such file, it is no GGUF file, or transformers cannot read its architecture.
        MissingPackage: The `gguf` package is absent.
        SettingError: `dtype` is none of the four.
    """
    gguf_file = Path(gguf_file)
    if dtype not in DTYPES:
        raise SettingError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}{near(dtype, DTYPES)}")
    _check_file(gguf_file)
    if find_spec("gguf") is None:
        raise MissingPackage("gguf", "reading a GGUF file")
    home = cache_folder() / "gguf"
    key = f"{gguf_file.stem}-{file_digest(gguf_file)}-{dtype}-v{CONVERTER_VERSION}"
    folder = home / key
    if folder.is_dir():
        return folder

    from filelock import FileLock

    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f".{key}.lock"):
            if folder.is_dir():
                return folder
            for abandoned in home.glob(f".{key}.partial-*"):  # left by a killed process: whoever holds the lock may clear it
                shutil.rmtree(abandoned)
            partial = Path(tempfile.mkdtemp(prefix=f".{key}.partial-", dir=home))
            try:
                logger.info("converting %s, once, to %s", gguf_file, folder)
                _write(gguf_file, partial, dtype)
                partial.replace(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            f"cannot write the converted form of {gguf_file} under {home}: {error}; "
            "free some space there or point SOUNDNESS_CACHE at another folder"
        ) from error
    return folder


def _check_file(gguf_file: Path) -> None:
    if not gguf_file.is_file():
        beside = [path.name for path in gguf_file.parent.glob("*.gguf")]
        raise ModelError(f"there is no GGUF file {gguf_file}{near(gguf_file.name, beside)}")
    with gguf_file.open("rb") as stream:
        start = stream.read(4)
    if start != b"GGUF":
        raise ModelError(f"{gguf_file} is not a GGUF file: it begins with {start!r} where b'GGUF' was expected")


def _write(gguf_file: Path, folder: Path, dtype: str) -> None:
    """Fill `folder` with model, tokenizer and a record of the conversion."""
    import torch

    try:
        with _quiet():
            model, tokenizer = _load(gguf_file)
            rule = _splitting_rule(gguf_file)
    except Exception as error:  # a damaged file fails in as many ways as it has bytes: struct.error, KeyError, MemoryError, ...
        raise ModelError(
            f"transformers {version('transformers')} cannot read {gguf_file} ({type(error).__name__}: {error}); "
            "give the model's original folder or hub name instead"
        ) from error
    _mend_splitting(tokenizer, rule, gguf_file)  # may warn, so not in silence
    with _quiet():
        stored = _narrowest(model) if dtype == "auto" else getattr(torch, dtype)
        model.to(stored)
        model.config.dtype = stored
        model.config.architectures = [type(model).__name__]
        packed = [name for name, value in model.named_parameters() if not value.is_floating_point()]
        if packed:
            raise ModelError(f"{gguf_file}: {len(packed)} weights stayed packed after loading, such as {packed[0]}")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    record = {
        "source": gguf_file.name,
        "dtype": str(stored).removeprefix("torch."),
        "converter": CONVERTER_VERSION,
        "versions": {name: version(name) for name in ("gguf", "torch", "transformers")},
    }
    write_json(folder / RECORD, record, indent=2)


def _load(gguf_file: Path) -> tuple[Any, Any]:
    """Return the model in float32, plain modules throughout, and its tokenizer."""
    import torch
    import transformers

    where: dict[str, Any] = {"gguf_file": gguf_file.name, "trust_remote_code": False}
    options: dict[str, Any] = {"dtype": torch.float32}
    # Releases that can keep weights in GGUF blocks do so, or mark the model as quantised and refuse to save it, unless told
    # to unpack; earlier ones always unpack and lack the class.
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    folder = str(gguf_file.parent.resolve())
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, **where, **options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **where)
    return model, tokenizer


def _splitting_rule(gguf_file: Path) -> str | None:
    """Return the file's `tokenizer.ggml.pre` for byte-level vocabularies, or None where the vocabulary is of another kind."""
    import gguf

    fields = gguf.GGUFReader(gguf_file).fields
    kind = fields.get("tokenizer.ggml.model")
    if kind is None or kind.contents() != "gpt2":
        return None
    rule = fields.get("tokenizer.ggml.pre")
    return "" if rule is None else str(rule.contents())


def _mend_splitting(tokenizer: Any, rule: str | None, gguf_file: Path) -> None:
    """Give the tokenizer the digit splitting that its file names, and warn where nobody knows the rule named."""
    from tokenizers import pre_tokenizers

    backend = tokenizer.backend_tokenizer
    # transformers gives rules it knows a sequence; a bare ByteLevel is its silent fallback.
    if rule is None or rule in PLAIN_GPT2 or not isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        return
    if rule in SINGLE_DIGITS:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        return
    warnings.warn(
        f"{gguf_file.name} names the text splitting rule {rule!r}, which is not known here; GPT-2's is used, "
        "and some texts may be cut into other tokens than the model was trained on",
        UserWarning,
        stacklevel=2,
    )


def _narrowest(model: Any) -> Any:
    """Return the narrowest of bfloat16, float16 and float32 that holds every weight exactly."""
    import torch

    for dtype in (torch.bfloat16, torch.float16):
        if all(torch.equal(value.to(dtype).to(value.dtype), value) for value in model.state_dict().values()):
            return dtype
    return torch.float32


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' warnings and progress bars, and whatever else goes to stderr, off the screen."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        # The dequantising loop draws its own bar on stderr, which no setting of transformers reaches.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
