"""Says what the end of a call means: by its protocol, by the ways of its provider, and after a second look."""

from dataclasses import dataclass, replace

from broker.domain.account import Account
from broker.domain.attempt import AttemptState
from broker.domain.job import Job
from broker.domain.provider import reconsidered
from broker.limits.estimate import Estimator
from broker.limits.facts import Content, RequestFacts
from workers.classify import Verdict, classify
from workers.endings import Ending, Responded
from workers.interpreter import Said, wanted_format
from workers.masking import Masking
from workers.prompt_floor import prompt_floor
from workers.scrutiny import Prompt, believed, doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges the calls of one account."""

    account: Account
    masking: Masking
    """Of the account's key."""
    estimator: Estimator

    def verdict(
        self, job: Job, facts: RequestFacts, said: Said, ending: Ending, *, context_window: int | None, now: float
    ) -> Verdict:
        """Say what an ending means, in words that do not tell the account's key.

        `facts` are those of the job's body. `context_window` is what the server says it has, in tokens. `now`: epoch
        seconds.
        """
        verdict = self._masked(said, ending, now)
        checks = self.account.facts.checks
        if verdict.answer is None or not checks or not isinstance(ending, Responded):
            return verdict
        answer = believed(verdict.answer, checks)
        error = doubt(
            answer,
            checks,
            wanted=wanted_format(job, said),
            prompt=self._prompt(job, facts),
            context_window=context_window,
        )
        if error is None:
            return replace(verdict, answer=answer)
        return replace(verdict, state=AttemptState.FAILED, answer=None, error=replace(error, status=ending.status))

    def _prompt(self, job: Job, facts: RequestFacts) -> Prompt | None:
        """What is known of a prompt; `None` where it holds pictures, whose bytes say nothing."""
        if facts.content is Content.IMAGE:
            return None
        return Prompt(
            size_bytes=facts.size_bytes,
            expected_tokens=self.estimator.estimate(facts).input_tokens,
            fewest_tokens=lambda: prompt_floor(job),
        )

    def _masked(self, said: Said, ending: Ending, now: float) -> Verdict:
        verdict = self._classified(said, ending, now)
        told = verdict.request_id
        if verdict.error is None:
            masked = told if told is None else self.masking.text(told)
            return verdict if masked == told else replace(verdict, request_id=masked)
        if isinstance(ending, Responded) and 200 <= ending.status < 300:  # left as it was, and no answer after all
            return self._classified(said, self.masking.response(ending), now)
        return verdict

    def _classified(self, said: Said, ending: Ending, now: float) -> Verdict:
        facts = self.account.facts
        verdict = classify(ending, said, details_default_zero=facts.usage_details_default_zero, now=now)
        if verdict.error is None or not facts.quirks:
            return verdict
        return replace(verdict, error=reconsidered(verdict.error, facts.quirks))
