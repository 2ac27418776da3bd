"""The page's pictures: Vega-Altair charts turned into SVG when the page is built, so that the page needs no drawing library.

Colours are names of CSS variables (`var(--s0)`), which the page sets for light and dark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["curve_svg", "series_colour", "split_svg"]

WIDTH, HEIGHT = 310, 210
NUM_COLOURS = 6
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")


def series_colour(index: int) -> str:
    """Return the colour of a model by its place on the page; the base comes first.

    >>> series_colour(0), series_colour(7)
    ('var(--s0)', 'var(--s2)')
    """
    return f"var(--s{index if index < NUM_COLOURS else 1 + (index - 1) % (NUM_COLOURS - 1)})"


def curve_svg(curve: Mapping[str, Any], models: Sequence[str]) -> str:
    """Return one curve as SVG: a line with points and a band per model, in the models' colours."""
    import altair as alt

    rows = [
        {"model": str(models.index(one["model"])), **{name: point[name] for name in ("x", "y", "low", "high")}}
        for one in curve["series"]
        for point in one["points"]
    ]
    places = [str(index) for index in range(len(models))]
    colour = alt.Color(
        "model:N", legend=None, scale=alt.Scale(domain=places, range=[series_colour(i) for i in range(len(models))])
    )
    shape = alt.Shape(
        "model:N", legend=None, scale=alt.Scale(domain=places, range=[SHAPES[i % len(SHAPES)] for i in range(len(models))])
    )
    wide_x, wide_y = ([0, 1] if curve[name] else None for name in ("percent_x", "percent_y"))
    x = alt.X(
        "x:Q",
        title=curve["x"],
        axis=alt.Axis(format=".0%" if curve["percent_x"] else "", tickCount=5, grid=False),
        scale=alt.Scale(
            type="log" if curve["log_x"] else "linear",
            **({"base": 2} if curve["log_x"] else {}),
            **({"domain": wide_x} if wide_x else {"zero": False}),
        ),
    )
    y = alt.Y(
        "y:Q",
        title=curve["y"],
        axis=alt.Axis(format=".0%" if curve["percent_y"] else "", tickCount=5),
        scale=alt.Scale(**({"domain": wide_y} if wide_y else {"zero": False})),
    )
    data = alt.Data(values=rows)
    layers: list[Any] = [
        alt.Chart(data).mark_area(opacity=0.14).encode(x=x, y=alt.Y("low:Q", title=curve["y"]), y2="high:Q", color=colour),
        alt.Chart(data).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
        alt.Chart(data).mark_point(size=34, filled=True, opacity=1).encode(x=x, y=y, color=colour, shape=shape),
    ]
    if curve["diagonal"]:
        ends = alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}])
        layers.insert(0, alt.Chart(ends).mark_line(strokeDash=[4, 4], color="var(--faint)").encode(x="x:Q", y="y:Q"))
    return _svg(alt.layer(*layers).properties(width=WIDTH, height=HEIGHT))


def split_svg(points: Sequence[Mapping[str, Any]], models: Sequence[str]) -> str:
    """Return accuracy against reasoning as SVG: one point with two intervals per tuned model, over four named quadrants."""
    import altair as alt

    placed = [point for point in points if not point["missing"]]
    reach = {
        name: 1.15 * max([least, *(abs(point[name][end] or 0.0) for point in placed for end in ("value", "low", "high"))])
        for name, least in (("accuracy", 0.1), ("reasoning", 0.5))
    }
    x_scale = alt.Scale(domain=[-reach["accuracy"], reach["accuracy"]], nice=False)
    y_scale = alt.Scale(domain=[-reach["reasoning"], reach["reasoning"]], nice=False)
    axis = alt.Axis(format="+.0%", labelExpr="datum.value ? datum.label : '0'", tickCount=5, grid=False)
    x = alt.X("x:Q", title="change of accuracy", scale=x_scale, axis=axis)
    y = alt.Y("y:Q", title="change of reasoning", scale=y_scale, axis=axis)
    places = [str(index) for index in range(len(models))]
    colour = alt.Color(
        "model:N", legend=None, scale=alt.Scale(domain=places, range=[series_colour(i) for i in range(len(models))])
    )
    shape = alt.Shape(
        "model:N", legend=None, scale=alt.Scale(domain=places, range=[SHAPES[i % len(SHAPES)] for i in range(len(models))])
    )
    rows = [
        {
            "model": str(models.index(point["tuned"])),
            "x": point["accuracy"]["value"],
            "y": point["reasoning"]["value"],
            **{f"x_{end}": point["accuracy"][end] for end in ("low", "high")},
            **{f"y_{end}": point["reasoning"][end] for end in ("low", "high")},
        }
        for point in placed
    ]
    data = alt.Data(values=rows)
    corner = {name: 0.97 * reach[name] for name in reach}
    names = [
        {"x": sign_x * corner["accuracy"], "y": sign_y * corner["reasoning"], "name": name, "side": sign_x}
        for name, sign_x, sign_y in (("sound", 1, 1), ("hollowed", 1, -1), ("lost", -1, -1), ("recovered", -1, 1))
    ]
    layers: list[Any] = [
        alt.Chart(alt.Data(values=[{"x": 0}])).mark_rule(color="var(--line)").encode(x="x:Q"),
        alt.Chart(alt.Data(values=[{"y": 0}])).mark_rule(color="var(--line)").encode(y="y:Q"),
        *(
            alt.Chart(alt.Data(values=[row for row in names if row["side"] == side]))
            .mark_text(align=align, fontStyle="italic", fontSize=13, color="var(--soft)", baseline="middle")
            .encode(x=x, y=y, text="name:N")
            for side, align in ((1, "right"), (-1, "left"))
        ),
        alt.Chart(data).mark_rule(strokeWidth=1.5).encode(x="x_low:Q", x2="x_high:Q", y=y, color=colour),
        alt.Chart(data).mark_rule(strokeWidth=1.5).encode(x=x, y="y_low:Q", y2="y_high:Q", color=colour),
        alt.Chart(data).mark_point(filled=True, size=110, opacity=1).encode(x=x, y=y, color=colour, shape=shape),
    ]
    return _svg(alt.layer(*layers).properties(width=420, height=300))


def _svg(chart: Any) -> str:
    """Return a chart as inline SVG that scales with the page and carries no style or link of its own."""
    import vl_convert

    axis = {
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "gridColor": "var(--grid)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    }
    chart = chart.configure(background="transparent", font="sans-serif", axis=axis, view={"stroke": None})
    svg: str = vl_convert.vegalite_to_svg(chart.to_json())
    svg = re.sub(r'\s(?:aria-[a-z]+|role|xmlns:xlink|style)="[^"]*"', "", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
