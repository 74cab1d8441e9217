"""The workflows run what is there, on the versions that are declared, and may do no more."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = {
    file.stem: yaml.safe_load(file.read_text("utf-8"))
    for file in (ROOT / ".github" / "workflows").glob("*.yml")
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_three() -> None:
    assert set(WORKFLOWS) == {"ci", "docs", "publish"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_and_a_job_what_it_publishes(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    more = {
        job: set(described["permissions"])
        for job, described in workflow["jobs"].items()
        if "permissions" in described
    }
    publishing = {"ci": {}, "docs": {"pages", "id-token"}, "publish": {"id-token"}}[name]
    assert more == ({"publish": publishing} if publishing else {})
    for job in more:
        assert workflow["jobs"][job]["needs"] == "build"
        assert "name" in workflow["jobs"][job]["environment"]
        assert not any("run" in step for step in workflow["jobs"][job]["steps"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_of_a_major_version_and_files_are_there(name: str) -> None:
    for step in steps(WORKFLOWS[name]):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"(actions|pypa)/[\w-]+@(release/)?v\d+", step["uses"])
        for file in re.findall(r"\.ci/[\w-]+", step.get("run", "")):
            assert (ROOT / file).is_file()


def test_versions_are_those_that_are_declared() -> None:
    declared = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    assert PROJECT["requires-python"] == f">={declared[0]}"
    (job,) = WORKFLOWS["ci"]["jobs"].values()
    matrix = job["strategy"]["matrix"]
    assert matrix["python"] == declared
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}
    assert job["runs-on"] == "${{ matrix.os }}"
    assert job["steps"][1]["with"] == {"python-version": "${{ matrix.python }}"}
    assert job["steps"][2:] == [{"run": "bash .ci/run", "shell": "bash"}]


def test_tests_that_an_sdist_runs_are_there() -> None:
    named = (ROOT / ".ci" / "fast-tests").read_text("utf-8").split()
    assert [name for name in named if not (ROOT / name).exists()] == []
