from broker.intake.problems import Problem, ProblemCode, ProblemReport, shown


def a_problem(line: int = 12, *, message: str = "custom_id is missing", model: str | None = None) -> Problem:
    return Problem(line=line, position=line - 1, code=ProblemCode.MISSING_FIELD, message=message, model=model)


def test_a_problem_prints_its_line() -> None:
    assert str(a_problem()) == "line 12: custom_id is missing"


def test_the_report_sorts_by_line_and_counts_what_it_does_not_show() -> None:
    report = ProblemReport(limit=3)
    for line in (9, 4, 8, 1, 7, 2, 6, 3, 5):
        report.add(a_problem(line))
    assert report.total == 9
    assert report.lines() == [
        *(f"line {line}: custom_id is missing" for line in (1, 2, 3)),
        "and 6 more rows with problems",
    ]


def test_a_full_report_says_nothing_of_more_rows() -> None:
    report = ProblemReport(limit=2)
    report.add(a_problem(2))
    report.add(a_problem(1))
    assert report.lines() == ["line 1: custom_id is missing", "line 2: custom_id is missing"]


def test_an_unknown_model_is_told_once_with_the_count_of_its_lines() -> None:
    report = ProblemReport()
    for line in range(3, 815):
        report.add(a_problem(line, message='no account serves the model "gpt"', model="gpt"))
    report.add(a_problem(1000, message='no account serves the model "b"', model="b"))
    report.add(a_problem(1001, message='no account serves the model "b"', model="b"))
    assert report.total == 814
    assert report.lines() == [
        'line 3: no account serves the model "gpt" (and on 811 more lines)',
        'line 1000: no account serves the model "b" (and on 1 more line)',
    ]


def test_memory_stays_bounded_when_every_row_names_another_unknown_model() -> None:
    report = ProblemReport(limit=5)
    for line in range(1, 1001):
        report.add(a_problem(line, model=f"model-{line}"))
    assert len(report._told) <= 10
    assert len(report._by_model) <= 10
    assert report.lines()[-1] == "and 995 more rows with problems"


def test_reading_the_report_twice_gives_the_same() -> None:
    report = ProblemReport(limit=1)
    report.add(a_problem(2))
    report.add(a_problem(1))
    assert report.lines() == report.lines() == ["line 1: custom_id is missing", "and 1 more row with problems"]


def test_what_is_shown_cannot_act_on_a_terminal() -> None:
    assert shown('a"b\\c') == '"a\\"b\\\\c"'
    assert shown("\x1b[31m\n\u202e\ud800é日") == '"\\x1b[31m\\n\\u202e\\ud800é日"'
    assert shown("x" * 65) == '"' + "x" * 64 + '…"'
