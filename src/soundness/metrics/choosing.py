"""Which groups a run measures: by profile, by name, or a user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from soundness.errors import MetricError, SettingError, describe, near
from soundness.extensions import is_reference, load_object
from soundness.interventions.plan import kinds_of
from soundness.metrics import ALWAYS, GROUPS, METRICS, PROFILES
from soundness.metrics.base import Metric, MetricGroup, Need

__all__ = ["check_declaration", "choose", "load_group"]


def choose(
    metrics: Sequence[str | MetricGroup] | None,
    profile: str = "standard",
    *,
    samples: int | None = None,
    other_tasks: bool | None = None,
) -> list[MetricGroup]:
    """Return the groups that `metrics` ask for, or those of the profile `profile` without any.

    `metrics` holds names of groups or of single metrics, references such as `my_file.py:MyGroup`, and groups. Outcomes and length
    are always among them; a user's own groups come last. What needs several samples or other tasks is left out of a profile where
    `samples` is 1 or `other_tasks` False; asked for by name it stays. Raises `MetricError` for an unknown name or profile and for a
    group that breaks the contract.
    """
    if profile not in PROFILES:
        raise MetricError(f"unknown profile {profile!r}{near(profile, PROFILES)}; there are {', '.join(PROFILES)}")
    lacking = ({Need.SEVERAL_SAMPLES} if samples == 1 else set()) | ({Need.OTHER_TASKS} if other_tasks is False else set())
    wanted = {name for name, group in GROUPS.items() if other_tasks and Need.OTHER_TASKS in group.needs}
    if not metrics:
        wanted |= {name for name in PROFILES[profile] if not lacking & GROUPS[name].needs}
        return [group for name, group in GROUPS.items() if name in wanted]
    wanted |= set(ALWAYS)
    owner = {metric.name: group.name for group in GROUPS.values() for metric in group.every_metric}
    own: dict[str, MetricGroup] = {}
    for entry in metrics:
        if not isinstance(entry, str) or is_reference(entry):
            group = load_group(entry)
            if group.name in own and type(own[group.name]) is not type(group):
                raise MetricError(f"two metric groups are called {group.name!r}: give one of them another name")
            if GROUPS.get(group.name) is group:
                wanted.add(group.name)
            else:
                own[group.name] = group
        elif entry in GROUPS or entry in owner:
            # A name may be both, as `redundancy`: the group holds the metric.
            wanted.add(entry if entry in GROUPS else owner[entry])
        else:
            raise MetricError(
                f"unknown metric {entry!r}{near(entry, [*GROUPS, *owner])}; there are {', '.join(GROUPS)}, any single metric, "
                "or your own as my_file.py:MyGroup"
            )
    _check_names(own.values())
    return [*(group for name, group in GROUPS.items() if name in wanted), *own.values()]


def load_group(entry: object) -> MetricGroup:
    """Return the group that `entry` is or names: a group, a class of one, or a reference such as `my_file.py:MyGroup`.

    Raises `MetricError` for what is none and for one that breaks the contract.
    """
    if isinstance(entry, MetricGroup) and entry is GROUPS.get(entry.name):
        return entry
    where = entry if isinstance(entry, str) else getattr(entry, "__name__", type(entry).__name__)
    try:
        found = load_object(entry, "metric group") if isinstance(entry, str) else entry
    except SettingError as error:
        raise MetricError(str(error)) from error
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise MetricError(f"the metric group {where} cannot be made without arguments: {describe(error)}") from error
    if not isinstance(found, MetricGroup):
        raise MetricError(
            f"{where} is no metric group but a {type(found).__name__}: derive a class from soundness.metrics.base.MetricGroup"
        )
    check_declaration(found, str(where))
    return found


def check_declaration(group: MetricGroup, where: str) -> None:
    """Raise `MetricError`, naming the clause of the contract, unless what `group` declares can be used; `where` is its place."""

    def refuse(clause: str) -> MetricError:
        return MetricError(f"the metric group {where} breaks the contract: {clause}")

    if not isinstance(group.name, str) or not group.name.strip():
        raise refuse('`name` is empty; write name = "my_group"')
    if not group.every_metric:
        raise refuse("`metrics` is empty; it needs at least one Metric")
    for metric in group.every_metric:
        if not isinstance(metric, Metric):
            raise refuse(f"`metrics` holds {metric!r}, which is no Metric")
        low, high = metric.bounds
        if low is not None and high is not None and low > high:
            raise refuse(f"the bounds of {metric.name} are {low} to {high}, the wrong way round")
        if metric.direction not in ("up", "down", "none"):
            raise refuse(f"the direction of {metric.name} is {metric.direction!r}; use up, down or none")
    names = [metric.name for metric in group.every_metric]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise refuse(f"two of its metrics are called {double!r}")
    if not group.readers:
        raise refuse("`readers` is empty; use (Reader.SELF,), or (Reader.NOBODY,) where nobody has to read")
    try:
        kinds_of(group.edits)
    except MetricError as error:
        raise refuse(f"`edits`: {error}") from error


def _check_names(own: Iterable[MetricGroup]) -> None:
    """Raise `MetricError` where a user's group, or a metric of one, has a name that is taken."""
    taken: Mapping[str, str] = {**dict.fromkeys(GROUPS, "a shipped group"), **dict.fromkeys(METRICS, "a shipped metric")}
    seen: dict[str, str] = {}
    for group in own:
        for name in dict.fromkeys((group.name, *(metric.name for metric in group.every_metric))):
            if name in taken:
                raise MetricError(
                    f"the metric group {group.name!r} uses the name {name!r}, which {taken[name]} has: choose another"
                )
            if name in seen:
                raise MetricError(
                    f"the metric groups {seen[name]!r} and {group.name!r} both use the name {name!r}: choose another"
                )
            seen[name] = group.name
