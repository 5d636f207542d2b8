"""What the docs say is there: links lead somewhere, and every command is one that its own parser takes."""

import argparse
import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pointmcd.__main__ import COMMANDS
from pointmcd.apis import load_student
from pointmcd.batch import PointFeatures, TeacherRows

ROOT = Path(__file__).resolve().parents[1]
TRACKED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
)
PAGES = sorted(ROOT / name for name in TRACKED.stdout.split()) or sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("projects/**/README.md")]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(`{3,}|~{3,})")
PROGRAM = re.compile(
    r"(?:python )?(?:tools/(?P<tool>\w+)\.py|-m projects\.(?P<module>[\w.]+)|-m pointmcd (?P<command>[\w-]+))"
    r"|^\s*(?:do |\w+=\S+ )*pointmcd (?P<name>[\w-]+)"
)


def anchors(page):
    """The anchors of a page's headings, as GitHub and the site make them."""
    found, fenced = set(), False
    for line in page.read_text().splitlines():
        fenced ^= bool(FENCE.match(line))
        if not fenced and line.startswith("#"):
            words = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    dead = []
    for link in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def code_lines(page):
    """The lines of a page's code, fenced or indented, those that go on joined and comments cut off."""
    lines, fenced, before_is_blank, indented = [], False, True, False
    for line in page.read_text().splitlines():
        if FENCE.match(line):
            fenced = not fenced
        elif fenced:
            lines.append(line)
        elif line.startswith("    ") and (before_is_blank or indented):
            indented = True
            lines.append(line)
            continue
        indented = indented and not line.strip()
        before_is_blank = not line.strip()
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines()]


def commands_of(page):
    """(module of the command, its words) of every command on a page."""
    found = []
    for line in code_lines(page):
        for part in re.split(r"&&|;|\|", line):
            program = PROGRAM.search(part)
            if program is None:
                continue
            name = program["command"] or program["name"]
            if name is not None and name not in COMMANDS:
                if name.startswith("-"):
                    continue
                raise AssertionError(f"{part}: pointmcd has no command {name}")
            if program["module"]:
                module = f"projects.{program['module']}"
            else:
                module = f"pointmcd.commands.{program['tool'] or COMMANDS[name][0]}"
            found.append((module, part[program.end() :].strip()))
    return found


CASES = [(page.relative_to(ROOT), *command) for page in PAGES for command in commands_of(page)]


def words_of(text):
    """The words of a command, without the file that takes its output."""
    return shlex.split(re.sub(r">\s*\S+\s*$", "", text))


class Parsed(Exception):
    """The words were taken."""


@pytest.mark.parametrize(("page", "module", "words"), CASES, ids=lambda value: str(value)[:60])
def test_commands_are_those_that_their_parsers_take(
    page, module, words, monkeypatch, capsys, forget_examples
):
    original = argparse.ArgumentParser.parse_args

    def parse_args(parser, args=None, namespace=None):
        original(parser, args, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    # a variable of the shell that stands for a number
    words = [re.sub(r"^\$\{?\w+\}?$", "1", word) for word in words_of(words)]
    try:
        importlib.import_module(module).main(words)
    except Parsed:
        return
    except SystemExit:
        pytest.fail(f"{page}: {capsys.readouterr().err}")
    pytest.fail(f"{page}: {module} parsed nothing")


def test_the_tutorial_of_an_own_backbone_runs(tmp_path, monkeypatch, forget_examples):
    """Its commands as they stand there, on fewer shapes and for one epoch."""
    page = ROOT / "docs/tutorials/own_backbone.md"
    shorter = {"--train 8 --test 4": "--train 2 --test 1 --workers 0 --no-views", "epoch_40": "epoch_1"}
    text = page.read_text().partition("## 5.")[0]
    for words, fewer in shorter.items():
        assert words in text
        text = text.replace(words, fewer)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for path in re.findall(r'--8<-- "(.+)"', text):
        shutil.copy(ROOT / path, tmp_path)
    commands = re.findall(r"^pointmcd (\S+) (.+)$", text, re.MULTILINE)
    assert [name for name, _ in commands] == ["prepare", "train", "test", "export"]
    for name, rest in commands:
        more = ["--cfg-options", "train_cfg.max_epochs=1"] if name == "train" else []
        importlib.import_module(f"pointmcd.commands.{COMMANDS[name][0]}").main(words_of(rest) + more)
    assert load_student("student.pth", imports=["my_backbone"]).class_names


def test_the_pages_have_commands_and_all_commands_are_on_a_page():
    """So that the search above cannot come to find nothing."""
    named = {module.removeprefix("pointmcd.commands.") for _, module, _ in CASES}
    assert {module for module, _ in COMMANDS.values()} <= named


def test_what_a_loss_is_given_stands_in_extending():
    text = (ROOT / "docs/extending.md").read_text()
    missing = [
        key for keys in (PointFeatures, TeacherRows) for key in keys.__annotations__ if f"`{key}`" not in text
    ]
    assert not missing


def test_the_site_has_every_page_and_every_module_that_it_names():
    """What `make docs` would find, without its environment."""
    site = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)
    in_nav = set(re.findall(r"[\w/]+\.md", str(site["nav"])))
    assert in_nav == {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    for page in ROOT.glob("docs/api/*.md"):
        for module in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE):
            assert importlib.util.find_spec(module), f"{page.name} names {module}"


@pytest.mark.parametrize("name", ["CITATION.cff", ".pre-commit-config.yaml", "mkdocs.yml"])
def test_files_of_other_tools_can_be_read(name):
    assert isinstance(yaml.load((ROOT / name).read_text(), yaml.BaseLoader), dict)


def test_the_citation_and_the_package_agree():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_sections_of_docstrings_are_entries():
    """The site's reader of docstrings warns of a line that is neither an entry nor indented under one."""
    faults = []
    for path in (ROOT / "pointmcd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            within = False
            for line in (ast.get_docstring(node) or "").split("\n"):
                if line and not line.startswith(" "):
                    within = line in ("Args:", "Attributes:", "Raises:")
                elif within and re.match(r" {4}\S", line) and not re.match(r" {4}[\w*][\w*., ]*: ", line):
                    faults.append(f"{path.relative_to(ROOT)}: {line.strip()}")
    assert not faults
