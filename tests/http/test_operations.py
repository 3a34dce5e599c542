"""Dead letters."""

from __future__ import annotations

from tests.http.support import Api, problem


def test_a_failed_job_is_a_dead_letter(api: Api) -> None:
    api.start("keep")
    failed = api.start("broken")
    api.run()
    (letter,) = api.get("/v1/dead-letters").json()["dead_letters"]
    assert (letter["kind"], letter["job_id"], letter["workflow"]) == ("job", failed, "broken")
    assert letter["cause"] == "broken_thing: cannot be mended"
    problem(api.get("/v1/dead-letters?cursor=x"), 400, "invalid_cursor")
