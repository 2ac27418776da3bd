"""Problems from a Hugging Face data set, by name or from a folder written by `save_to_disk`.

Code that comes with a data set is never run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundness.errors import MissingPackage, TaskError, near
from soundness.tasks.sources import Row, Source, open_rows

__all__ = ["open_hub", "split_hub_spec"]


def split_hub_spec(spec: str) -> tuple[str, str | None, str | None]:
    """Return (name or folder, config, split) of `NAME[:CONFIG[:SPLIT]]` or `FOLDER[:SPLIT]`; an empty part is None.

    >>> split_hub_spec("openai/gsm8k:main:test")
    ('openai/gsm8k', 'main', 'test')
    """
    if Path(spec).is_dir():
        return spec, None, None
    folder, _, split = spec.rpartition(":")
    if folder and (Path(folder).is_dir() or folder.startswith(("/", "./", "../", "~"))):
        return folder, None, split or None
    parts = spec.split(":")
    if len(parts) > 3 or not parts[0]:
        raise TaskError(f"hub:{spec} was not understood; write hub:NAME[:CONFIG[:SPLIT]] or hub:FOLDER[:SPLIT]")
    name, config, split_name = (*parts, "", "")[:3]
    return name, config or None, split_name or None


def open_hub(name: str, config: str | None = None, split: str | None = None) -> Source:
    """Return the rows of a data set: `name` is its name or a folder written by `save_to_disk`.

    Without `split`, the only split or `test` is taken. Raises TaskError (with the splits there are) and MissingPackage.
    """
    source = open_rows(_load(name, config, split), name)
    return Source(name, (Row(f"{name} {row.place}", row.name, row.fields) for row in source.rows))


def _load(name: str, config: str | None, split: str | None) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingPackage("datasets", "reading a hub: data set") from None
    folder = Path(name).expanduser()
    local = folder.is_dir() or name.startswith(("/", "./", "../", "~"))
    try:
        if local:
            data = datasets.load_from_disk(str(folder))
        else:
            data = datasets.load_dataset(name, config) if split is None else datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = (
            "give a folder written by Dataset.save_to_disk"
            if local
            else "check the name, config and split; without a network, save the data set to disk and give hub:FOLDER"
        )
        spec = ":".join(part for part in (name, config, split) if part)
        raise TaskError(f"the data set {spec} could not be loaded ({reason}); {advice}") from error
    if not isinstance(data, datasets.DatasetDict):
        if local and split is not None and str(data.split or split) != split:
            raise TaskError(f"{name} holds the one split {str(data.split)!r}, and {split!r} was wanted")
        return data
    splits = list(data)
    chosen = split or (splits[0] if len(splits) == 1 else "test")
    if chosen not in splits:
        spec = name if local else f"{name}:{config or ''}"
        raise TaskError(
            f"{name} has no split {chosen!r}{near(chosen, splits)}; it has {', '.join(splits)}: write hub:{spec}:{splits[0]}"
        )
    return data[chosen]
