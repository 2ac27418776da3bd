"""A chat template may do what templates do, and nothing that takes a machine down."""

from __future__ import annotations

import time

import pytest

from soundness.errors import ModelError
from soundness.models import jinja

MESSAGES = [{"role": "user", "content": "Hi\n"}, {"role": "assistant", "content": "<b>"}, {"role": "user", "content": "Why?"}]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(jinja, "MOST_SECONDS", 0.5)
    monkeypatch.setattr(jinja, "MOST_BYTES", 200 << 20)


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        (
            "{% for m in messages %}[{{ m.role }}] {{ m['content'] | trim }}\n{% endfor %}",
            "[user] Hi\n[assistant] <b>\n[user] Why?\n",
        ),
        ("{{ bos_token }}{{ messages[0]['content'] | tojson }}", '<s>"Hi\\n"'),
        ("{% if add_generation_prompt %}go{% endif %}", "go"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n * 2 }}", "6"),
        ("{{ '-' * 20 }}", "-" * 20),
        ("{{ loop is defined }} {{ 7 % 2 }} {{ 2 ** 10 }}", "False 1 1024"),
        ("{% for m in messages %}{% if m.role == 'assistant' %}{% continue %}{% endif %}{{ loop.index }}{% endfor %}", "13"),
        ("{% generation %}x{% endgeneration %}", "x"),
        ("{{ 'a%sb' | format(3) }} {{ 'x'.ljust(3) }}|{{ 'x' | center(3) }}|{{ 'a\nb' | indent(2) }}", "a3b x  | x |a\n  b"),
        ("{{ messages | map(attribute='role') | join('+') }}", "user+assistant+user"),
        ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(1) }}{{ f('y') }}", "<1><y>"),
    ],
)
def test_templates_write_what_they_write_elsewhere(template, wanted):
    from transformers.utils.chat_template_utils import render_jinja_template

    variables = {"bos_token": "<s>", "add_generation_prompt": True}
    assert jinja.fill(template, MESSAGES, **variables) == wanted
    (elsewhere,), _ = render_jinja_template([MESSAGES], chat_template=template, **variables)
    assert elsewhere == wanted


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'x' * 10**10 }}",
        "{{ 10**10 * 'x' }}",
        "{{ [0] * 10**9 }}",
        "{{ 9**9**9 }}",
        "{% set x = namespace(v=3) %}{% for i in range(10**5) %}{% set x.v = x.v * x.v %}{% endfor %}",
        "{{ 'x'.center(10**10) }}",
        "{{ 'x'.zfill(2000000000) }}",
        "{{ 'x' | center(2000000000) }}",
        "{{ 'x' | indent(2000000000) }}",
        "{{ '%2000000000d' | format(3) }}",
        "{{ '%2000000000d' % 3 }}",
        "{{ '{:>2000000000}'.format(3) }}",
        "{{ lipsum(n=100000000) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}",
        "{% set x = namespace(v='x' * 1000) %}{% for i in range(60) %}{% set x.v = x.v ~ x.v %}{% endfor %}{{ x.v | length }}",
        "{% set x = namespace(v='x' * 1000) %}{% for i in range(60) %}{% set x.v = x.v + x.v %}{% endfor %}{{ x.v | length }}",
        "{% macro f(n) %}{% for i in range(9) %}{{ f(n) if n < 9 }}{{ f(n + 1) if n < 9 }}{% endfor %}{% endmacro %}{{ f(0) }}",
        "{{ messages[0].content }}" + " " * 1_000_001,
    ],
)
def test_what_would_take_a_machine_down_is_one_line(template):
    began = time.process_time()
    with pytest.raises((ModelError, RecursionError)) as caught:
        jinja.fill(template, MESSAGES)
    assert time.process_time() - began < 20, "bounded, however slow the machine"
    assert "\n" not in str(caught.value)


def test_a_long_text_is_refused(monkeypatch):
    monkeypatch.setattr(jinja, "MOST_CHARACTERS", 100)
    with pytest.raises(ModelError, match="makes a prompt of 101 characters, and at most 100 are read"):
        jinja.fill("{{ 'x' * 101 }}", MESSAGES)


def test_the_sandbox_is_still_one():
    for template in ("{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{{ self.__init__.__globals__ }}"):
        try:
            found = jinja.fill(template, MESSAGES)
        except Exception as error:
            assert type(error).__name__ in ("SecurityError", "UndefinedError")  # noqa: PT017 - either way out is fine
        else:
            assert found == ""


def test_what_a_template_raises_is_its_own():
    with pytest.raises(Exception, match="system first"):
        jinja.fill("{{ raise_exception('system first') }}", MESSAGES)


def test_a_watch_that_fires_late_hurts_nobody(monkeypatch):
    """The exception is meant for the template's run; none of it reaches what follows."""
    monkeypatch.setattr(jinja, "MOST_SECONDS", 0.0)
    for _ in range(20):
        try:
            jinja.fill("{% for a in range(3000) %}{{ a }}{% endfor %}", MESSAGES)
        except ModelError:
            pass
        assert sum(range(1000)) == 499500
