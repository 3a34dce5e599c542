"""Commands that the operations pages show exist, with the options that they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from orchestrator.cli.main import app

DOCS = Path(__file__).resolve().parents[2] / "docs"
_SHELL = re.compile(r"^\$ (orchestrator [^#\n|]*)", re.MULTILINE)
_INLINE = re.compile(r"`(orchestrator [a-z][^`]*)`")
PAGES = ("runbooks", "deployment", "operations")


def commands(page: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text()
    return [found.strip() for found in (*_SHELL.findall(text), *_INLINE.findall(text))]


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in commands(page)}))
def test_a_command_is_one(line: str) -> None:
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    assert isinstance(command, TyperGroup)
    assert words[0] in command.commands, line
    while isinstance(command, TyperGroup) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    shown = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert shown <= known, (line, sorted(shown - known))
    takes = any(parameter.param_type_name == "argument" for parameter in command.params)
    assert takes or not words or words[0].startswith("-"), line
