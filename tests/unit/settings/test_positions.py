import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.settings.positions import Path, lines_of, nearest_line

AWKWARD = '''\
# [not.a.table]
a = 1
"q.\\u0041" = """x = 1
" y "" """
b.c = [1, # ] comment
  {k = "}#"}, [2,
3]]
[t."x y".z]
m = \'\'\'it''s
k = 1\'\'\'\'
n = """a\\""""
o = """"q""""
d = 1979-05-27 07:32:00
[[l]]
p = {a=1, b.c = 'x'}
[l.s]
q=1
[[l]]
[[l.n]]
r = true
[[l.n]]
r = """"""
e = ""
f = \'\'\'\'\'\'
g = 5
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("q.A",), 3),
        (("b",), 5),
        (("b", "c", 0), 5),
        (("b", "c", 1, "k"), 6),
        (("b", "c", 2, 1), 7),
        (("t", "x y", "z"), 8),
        (("t", "x y", "z", "m"), 9),
        (("t", "x y", "z", "n"), 11),
        (("t", "x y", "z", "o"), 12),
        (("t", "x y", "z", "d"), 13),
        (("l", 0), 14),
        (("l", 0, "p", "b", "c"), 15),
        (("l", 0, "s", "q"), 17),
        (("l", 1), 18),
        (("l", 1, "n", 0, "r"), 20),
        (("l", 1, "n", 1, "r"), 22),
        (("l", 1, "n", 1, "g"), 25),
    ],
)
def test_every_kind_of_key_has_its_line(path: Path, line: int) -> None:
    assert lines_of(AWKWARD)[path] == line


def test_every_value_of_an_awkward_document_is_found() -> None:
    assert set(_paths(tomllib.loads(AWKWARD))) <= set(lines_of(AWKWARD))


def test_carriage_returns_do_not_shift_lines() -> None:
    assert lines_of("a = 1\r\n\r\n[t]\r\nb = 2\r\n")["t", "b"] == 4


def test_a_missing_key_has_the_line_of_its_table() -> None:
    assert nearest_line(lines_of("\n[[l]]\na = 1\n[[l]]\nb = 2\n"), ("l", 1, "missing", "deeper")) == 4


def test_a_path_unknown_from_the_start_has_the_first_line() -> None:
    assert nearest_line({}, ("x",)) == 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.sampled_from(["1", '"x"', "[1,\n2]", "'''\n\n'''"])),
        unique_by=lambda pair: pair[0],
    )
)
def test_keys_are_found_where_they_were_written(pairs: list[tuple[str, str]]) -> None:
    text, expected, line = "", {}, 1
    for key, value in pairs:
        expected[(key,)] = line
        text += f"{key} = {value}\n"
        line += 1 + value.count("\n")
    lines = lines_of(text)
    assert {path: lines[path] for path in expected} == expected


def _paths(value: Any, path: Path = ()) -> list[Path]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [deep for key, each in inner for deep in _paths(each, (*path, key))]
