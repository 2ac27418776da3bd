"""The contract between metrics and the engine, held while it runs: one line says who broke which clause."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from soundness.errors import MetricError, SoundnessError, describe, near
from soundness.interventions import NoEdit
from soundness.metrics import GROUPS
from soundness.metrics.base import MetricGroup, Need, Value
from soundness.metrics.case import Case
from soundness.records import Edit

__all__ = ["checked", "guarded", "seen_by"]

Given = ParamSpec("Given")
Item = TypeVar("Item")

# Sums of the same numbers in another order differ in the last bits; a share of 1.0000000000000002 is 1.
_ROUNDING = 1e-9


Edits = tuple[Edit | NoEdit, ...]


class _DeclaredEdits(dict[str, Edits]):
    """The edits that a group declares; asking for any other is told, instead of looking like an edit that could not be made."""

    def __init__(self, group: MetricGroup, edits: Mapping[str, Edits]) -> None:
        kinds = {kind if isinstance(kind, str) else kind.name for kind in group.edits}
        super().__init__((name, made) for name, made in edits.items() if name in kinds)
        self._group, self._kinds = group.name, kinds

    def _check(self, kind: str) -> None:
        if kind not in self._kinds:
            raise MetricError(
                f"the metric group {self._group} breaks the contract: it looks at edits of kind {kind!r}, which `edits` does not name"
            )

    def __getitem__(self, kind: str) -> Edits:
        self._check(kind)
        return super().__getitem__(kind)

    def get(self, kind: str, default: Any = None) -> Any:
        self._check(kind)
        return super().get(kind, default)


def seen_by(group: MetricGroup, case: Case) -> Case:
    """Return `case` as `group` may see it: a user's own group sees what it declares, and nothing that others asked for.

    Alone and in company it then yields the same, and what it forgot to declare shows at once.
    """
    if GROUPS.get(group.name) is group:
        return case
    return replace(
        case,
        edits=_DeclaredEdits(group, case.edits),
        own=case.own if Need.OWN_ANSWER in group.needs else None,
        judgements=case.judgements if Need.FACTS in group.needs else (),
    )


def guarded(
    group: MetricGroup,
    method: str,
    place: str,
    call: Callable[Given, Iterable[Item]],
    *args: Given.args,
    **kwargs: Given.kwargs,
) -> Iterator[Item]:
    """Yield what `call` of `group` returns; what a user's own group raises is named in one line. `place` is the problem.

    A shipped group is ours: what it raises is our own mistake and keeps its traceback. Raises `MetricError`.
    """
    if GROUPS.get(group.name) is group:
        yield from call(*args, **kwargs)
        return
    try:
        items = iter(call(*args, **kwargs))
    except SoundnessError:
        raise
    except Exception as error:
        raise _failed(group, method, place, error) from error
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except SoundnessError:
            raise
        except Exception as error:
            raise _failed(group, method, place, error) from error
        yield item


def _failed(group: MetricGroup, method: str, place: str, error: Exception) -> MetricError:
    if isinstance(error, KeyError) and method == "values":
        return MetricError(
            f"the metric group {group.name} looks up something in values() that it has not listed in probes() or asks() "
            f"({describe(error)}; problem {place})"
        )
    return MetricError(f"the metric group {group.name} failed in {method}() on problem {place}: {describe(error)}")


def checked(group: MetricGroup, values: Iterable[Value], place: str) -> Iterator[Value]:
    """Yield `values`, each held against what `group` declares: known, once, a number in its bounds or None with a reason.

    Raises `MetricError` that names the clause.
    """
    known = {metric.name: metric for metric in group.metrics}
    seen: set[str] = set()

    def refuse(clause: str) -> MetricError:
        return MetricError(f"the metric group {group.name} breaks the contract on problem {place}: {clause}")

    for value in values:
        if not isinstance(value, Value):
            raise refuse(
                f"it yields {_short(value)}, which is no Value; write Value(name, number) or Value(name, None, reason)"
            )
        metric = known.get(value.metric)
        if metric is None:
            raise refuse(f"it yields {value.metric!r}{near(str(value.metric), known)}, which `metrics` does not declare")
        if value.metric in seen:
            raise refuse(f"it yields {value.metric!r} twice for one chain")
        seen.add(value.metric)
        if value.number is None:
            if not value.reason:
                raise refuse(f"{value.metric} is None without a reason")
        elif value.reason:
            raise refuse(f"{value.metric} has a number and a reason why there is none")
        elif not isinstance(value.number, (int, float)) or not math.isfinite(value.number):
            raise refuse(f"{value.metric} is {_short(value.number)}, no finite number; what is not known is None with a reason")
        else:
            low, high = metric.bounds
            if (low is not None and value.number < low - _ROUNDING) or (high is not None and value.number > high + _ROUNDING):
                raise refuse(f"{value.metric} is {value.number:g}, outside its bounds {_bounds(low, high)}")
        yield value


def _short(thing: Any) -> str:
    return repr(thing)[:60]


def _bounds(low: float | None, high: float | None) -> str:
    return f"{'any' if low is None else f'{low:g}'} to {'any' if high is None else f'{high:g}'}"
