"""Batches written for other vendors' APIs, run on accounts that speak OpenAI's: their producers notice nothing."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse, MessageBatchSucceededResult
from google.genai import types as genai

from broker.testing.simulator import Simulator, simulator
from tests.e2e.command_line import Folder, prompt
from workers.provider_sim.answers import expected_text

ROWS = 12
EXPECTED = {f"row-{number}": expected_text(prompt(number)) for number in range(ROWS)}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("provider"), '[[keys]]\nname = "good"\n') as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, provider: Simulator) -> Folder:
    made = Folder(tmp_path)
    made.configure(provider.base_url, "good", rpm=60_000)
    return made


def entry(number: int, **params: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": prompt(number)}]
    return {"custom_id": f"row-{number}", "params": {"model": "m", "max_tokens": 400, "messages": said} | params}


def gemini_line(number: int, **request: Any) -> dict[str, Any]:
    said = [{"role": "user", "parts": [{"text": prompt(number)}]}]
    return {"key": f"row-{number}", "request": {"model": "models/m", "contents": said} | request}


def write(folder: Folder, rows: list[dict[str, Any]], name: str = "jobs.jsonl") -> None:
    (folder.path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def message_texts(folder: Folder, name: str = "out.jsonl") -> Mapping[str, str]:
    """The texts of Anthropic results, by name, as its SDK reads them."""
    found = {}
    for line in folder.lines(name):
        result = MessageBatchIndividualResponse.model_validate(line)
        assert isinstance(result.result, MessageBatchSucceededResult), line
        (block,) = result.result.message.content
        assert block.type == "text"
        found[result.custom_id] = block.text
    return found


def generated_texts(folder: Folder, name: str = "out.jsonl") -> Mapping[str, str]:
    """The texts of Gemini results, by key, as its SDK reads them."""
    return {
        line["key"]: genai.GenerateContentResponse.model_validate(line["response"]).text or ""
        for line in folder.lines(name)
    }


def lines_of(folder: Folder, rows: list[dict[str, Any]]) -> None:
    write(folder, rows)


def one_object_of(folder: Folder, rows: list[dict[str, Any]]) -> None:
    (folder.path / "jobs.jsonl").write_text(json.dumps({"requests": rows}, indent=2))


@pytest.mark.parametrize("written", [lines_of, one_object_of])
def test_an_anthropic_batch_runs_on_an_account_of_another_protocol(
    folder: Folder, written: Callable[[Folder, list[dict[str, Any]]], None]
) -> None:
    written(folder, [entry(number) for number in range(ROWS)])
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    assert done.code == 0, done.err
    assert message_texts(folder) == EXPECTED
    usage = done.summary()["usage"]
    counted = [line["result"]["message"]["usage"] for line in folder.lines()]
    assert sum(each["output_tokens"] for each in counted) == usage["output_tokens"]


def test_a_gemini_batch_runs_on_an_account_of_another_protocol(folder: Folder) -> None:
    inline = [{"request": gemini_line(number)["request"], "metadata": {"key": f"row-{number}"}} for number in (0, 1)]
    write(folder, [*inline, *(gemini_line(number) for number in range(2, ROWS))])
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--order", "input")
    assert done.code == 0, done.err
    assert list(generated_texts(folder).items()) == list(EXPECTED.items())


def test_an_output_of_another_form_is_known_as_ours_and_resumed(folder: Folder) -> None:
    write(folder, [entry(number) for number in range(ROWS)])
    first = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    again = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    assert (first.code, again.code) == (0, 0), again.err
    assert again.summary()["attempts"]["total"] == ROWS
    assert message_texts(folder) == EXPECTED


def test_the_same_input_with_another_answer_to_losses_is_another_batch(folder: Folder) -> None:
    write(folder, [entry(0, top_k=5)])
    refused = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--errors", "errors.jsonl")
    assert refused.code == 1
    (line,) = folder.lines("errors.jsonl")
    assert line["result"]["type"] == "errored"
    assert line["result"]["error"]["error"]["type"] == "invalid_request_error"
    assert "/top_k" in line["result"]["error"]["error"]["message"]
    dropping = ("run", "jobs.jsonl", "--output", "out.jsonl", "--on-loss", "drop")
    other = folder.run(*dropping)
    assert other.code == 2
    assert "had another input (or other options)" in other.err
    done = folder.run(*dropping, "--new")
    assert done.code == 0, done.err
    (line,) = folder.lines()
    assert [(each["path"], each["class"]) for each in line["warnings"]] == [("/top_k", "sampling")]
    again = folder.run(*dropping)
    assert (again.code, folder.lines()) == (0, [line])


def test_a_submission_says_what_it_is_and_its_results_come_in_its_form(folder: Folder) -> None:
    write(folder, [gemini_line(0), gemini_line(1, model="models/unknown")])
    submit = ("submit", "jobs.jsonl", "--lenient", "--json")
    submitted = json.loads(folder.run(*submit).out)
    assert (submitted["dialect"], submitted["on_loss"], submitted["use"]) == ("gemini", "fail", None)
    (failed,) = map(json.loads, folder.run("results", "1").out.splitlines())
    assert failed["key"] == "row-1"
    assert (failed["error"]["code"], failed["error"]["status"]) == (404, "NOT_FOUND")
    other = json.loads(folder.run(*submit, "--on-loss", "drop", "--use", "research").out)
    assert (other["batch"], other["on_loss"], other["use"]) == (2, "drop", "research")
    again = json.loads(folder.run(*submit, "--on-loss", "drop", "--use", "research").out)
    assert (again["batch"], again["known"]) == (2, True)
    status = json.loads(folder.run("status", "2", "--json").out)
    assert (status["dialect"], status["on_loss"], status["use"]) == ("gemini", "drop", "research")
    told = folder.run("status", "2").out
    assert "asked    in the form of gemini" in told
    assert "for research use" in told


def test_gemini_lines_without_a_model_take_the_one_that_is_told(folder: Folder) -> None:
    row = gemini_line(0)
    del row["request"]["model"]
    write(folder, [row])
    refused = folder.run("run", "jobs.jsonl", "--output", "out.jsonl")
    assert refused.code == 2
    assert "line 1: request.model is missing" in refused.err
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--model", "m")
    assert done.code == 0, done.err
    assert generated_texts(folder) == {"row-0": EXPECTED["row-0"]}


def test_what_a_dialect_may_be_is_said(folder: Folder) -> None:
    write(folder, [entry(0)])
    wrong = folder.run("submit", "jobs.jsonl", "--dialect", "anthropic")
    assert wrong.code == 2
    assert "anthropic-messages" in wrong.err
    other = folder.run("submit", "jobs.jsonl", "--dialect", "openai-chat")
    assert other.code == 2
    assert "line 1: the row is an entry of Anthropic's batch API" in other.err
