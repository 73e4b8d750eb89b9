from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import CallerError
from broker.intake.duplicates import DuplicateFinder
from broker.intake.problems import Problem, ProblemCode

NAMES = st.text(alphabet=st.sampled_from("ab \u2028\u0085é😀"), min_size=1, max_size=2)


def test_a_second_use_names_the_first(tmp_path: Path) -> None:
    with DuplicateFinder(tmp_path) as finder:
        finder.add("a", line=3, position=0)
        finder.add("b", line=4, position=1)
        finder.add("a", line=12, position=7)
        (problem,) = finder.duplicates()
    assert problem == Problem(
        line=12,
        position=7,
        code=ProblemCode.DUPLICATE_CUSTOM_ID,
        message='custom_id "a" was used before, on line 3',
        custom_id="a",
    )
    assert str(problem) == 'line 12: custom_id "a" was used before, on line 3'


@given(names=st.lists(NAMES, max_size=60), pending=st.sampled_from([0, 300, 10_000]))
def test_every_use_but_the_first_is_found_whatever_has_gone_to_disk(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], pending: int
) -> None:
    first: dict[str, int] = {}
    expected = []
    with DuplicateFinder(tmp_path_factory.getbasetemp(), pending_characters=pending) as finder:
        for position, name in enumerate(names):
            finder.add(name, line=position + 1, position=position)
            if first.setdefault(name, position + 1) != position + 1:
                expected.append((position + 1, name, f"on line {first[name]}"))
        found = sorted((p.line, p.custom_id, p.message.rpartition(", ")[2]) for p in finder.duplicates())
    assert found == expected


def test_asking_twice_and_adding_more_in_between_works(tmp_path: Path) -> None:
    with DuplicateFinder(tmp_path) as finder:
        finder.add("a", line=1, position=0)
        assert list(finder.duplicates()) == []
        finder.add("a", line=2, position=1)
        assert [problem.line for problem in finder.duplicates()] == [2]
        assert [problem.line for problem in finder.duplicates()] == [2]


def test_names_do_not_stay_in_memory(tmp_path: Path) -> None:
    with DuplicateFinder(tmp_path, pending_characters=50_000) as finder:
        for position in range(20_000):
            finder.add(f"row-{position}", line=position + 1, position=position)
            assert finder._pending <= 50_000
        assert sum(map(len, finder._notes)) < 1_000
        assert list(finder.duplicates()) == []


def test_the_folder_stays_clean_also_while_it_works(tmp_path: Path) -> None:
    with DuplicateFinder(tmp_path, pending_characters=0) as finder:
        finder.add("a", line=1, position=0)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        list(finder.duplicates())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"no temporary file can be made in .*nowhere: No such file"):
        DuplicateFinder(tmp_path / "nowhere")
