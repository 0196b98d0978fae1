"""The documents as tests read them: blocks of code, and code within lines."""

import re
import shlex
from typing import NamedTuple

from conftest import ROOT

DOCS = ROOT / "docs"
# Those of the tool and of what it makes.
MANUALS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
DOCUMENTS = [*MANUALS, *(ROOT / name / "README.md" for name in ("infra", "fuzz", "tests/servers"))]


class Block(NamedTuple):
    """A block of code."""

    document: str
    line: int
    language: str
    text: str

    @property
    def place(self):
        return f"{self.document}:{self.line}"


def _read(document):
    """A document's blocks, and its lines outside of them."""
    name, blocks, prose, begun = str(document.relative_to(ROOT)), [], [], None
    for number, line in enumerate(document.read_text().splitlines(keepends=True), 1):
        if line.startswith("```") and begun is None:
            begun = Block(name, number, line[3:].strip(), "")
        elif line.startswith("```"):
            blocks.append(begun)
            begun = None
        elif begun is not None:
            begun = begun._replace(text=begun.text + line)
        else:
            prose.append((f"{name}:{number}", line))
    assert begun is None, f"{begun.place}: the block has no end"
    return blocks, prose


def blocks(*languages, documents=DOCUMENTS):
    """All blocks, or those in these languages."""
    return [
        block for document in documents for block in _read(document)[0] if not languages or block.language in languages
    ]


def inline_code(documents=MANUALS):
    """What stands between backticks outside of blocks, with the place where its paragraph begins."""
    for document in documents:
        place, paragraph = None, ""
        for line_place, line in [*_read(document)[1], (None, "")]:
            if line.strip():
                place, paragraph = place or line_place, paragraph + line
                continue
            for code in re.findall(r"`([^`]+)`", paragraph):
                yield place, " ".join(code.split())
            place, paragraph = None, ""


def evaluate(block):
    """Runs a block of Python. Returns the value of its last line."""
    *before, last = block.text.strip().splitlines()
    scope = {}
    exec("\n".join(before), scope)
    return eval(last, scope)


def commands(block):
    """The calls of `tripline` in a block of commands, each a list of words, in their order."""
    text = block.text.replace("\\\n", " ").replace("cargo run -p tripline-cli -- ", "tripline ")
    for line in text.splitlines():
        if not re.search(r"(?:^|[;&|$] )tripline ", line):
            continue
        words = shlex.split(line.removeprefix("$ "), comments=True)
        call = []
        for word in [*words, ";"]:
            if word in (";", "&&", "|") or word.endswith(";"):
                call += [word[:-1]] if len(word) > 1 and word.endswith(";") else []
                if call[:1] == ["tripline"]:
                    yield call[1:]
                call = []
            else:
                call.append(word)
