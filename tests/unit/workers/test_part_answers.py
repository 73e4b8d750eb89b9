"""Answers that are kept until all of a row's answers are there: as they were, and with what was lost."""

from broker.domain.loss import Loss, LossClass
from broker.protocols.exact_json import written
from workers.part_answers import kept, read

LOSS = Loss(code="fan_out", path="/n", detail="3 answers are asked for one at a time", loss_class=LossClass.SEMANTIC)


def test_an_answer_is_kept_with_its_warnings() -> None:
    part = read(kept(b'{"candidates":[]}', (LOSS,)))
    assert (part.answer, part.warnings) == ({"candidates": []}, (LOSS,))


def test_no_number_of_a_call_becomes_another() -> None:
    answer = b'{"functionCall":{"name":"f","args":{"id":12345678901234567890123,"price":1.10}}}'
    assert written(read(kept(answer, ())).answer) == answer
