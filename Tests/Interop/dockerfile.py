"""As much of Docker as a machine without an engine can have: the Dockerfile as instructions, and .dockerignore."""

import dataclasses
import json
import os
import re


@dataclasses.dataclass
class Instruction:
    """One instruction of a Dockerfile, its lines joined."""

    stage: int
    keyword: str
    flags: dict
    text: str

    @property
    def words(self):
        """The arguments, from the JSON form or from the plain one."""
        return json.loads(self.text) if self.text.startswith("[") else self.text.split()


class Dockerfile:
    def __init__(self, path):
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        text = re.sub(r"\\\n", " ", "\n".join(lines))
        self.instructions, self.stages = [], []
        for line in filter(str.strip, text.splitlines()):
            keyword, rest = line.split(None, 1)
            assert keyword.isupper(), f"an instruction is written in capitals: {line}"
            flags = {}
            while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
                flags[match[1]] = match[2]
                rest = rest[match.end() :]
            if keyword == "FROM":
                image, *name = re.split(r"\s+AS\s+", rest.strip())
                self.stages.append((image, name[0] if name else None))
            assert self.stages, f"before the first FROM: {line}"
            self.instructions.append(Instruction(len(self.stages) - 1, keyword, flags, " ".join(rest.split())))

    def all(self, keyword, stage=None):
        return [i for i in self.instructions if i.keyword == keyword and stage in (None, i.stage)]

    def last(self, keyword):
        """The one of the final stage that counts; the others are overridden."""
        return self.all(keyword, len(self.stages) - 1)[-1]

    def packages(self, stage):
        """What apt-get installs in a stage."""
        found = []
        for run in self.all("RUN", stage):
            for command in run.text.split("&&"):
                if re.match(r"\s*apt-get install", command):
                    found += [word for word in command.split()[2:] if not word.startswith("-")]
        return found


class Ignored:
    """What .dockerignore keeps from the builder: the last line that matches decides."""

    def __init__(self, path):
        lines = [line.strip() for line in path.read_text().splitlines()]
        self.rules = [
            (not line.startswith("!"), self._expression(line.lstrip("!").strip("/")))
            for line in lines
            if line and not line.startswith("#")
        ]

    @staticmethod
    def _expression(pattern):
        """A pattern also covers everything below what it names."""
        out = ""
        for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
            out += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
        return re.compile(out + "(?:/.*)?")

    def __contains__(self, path):
        ignored = False
        for ignores, expression in self.rules:
            if expression.fullmatch(path):
                ignored = ignores
        return ignored


def files_of(root, source, ignored):
    """The files that `COPY source` would find, relative to the root."""
    start = root / source
    if start.is_file():
        return [] if source in ignored else [source]
    found = []
    for folder, folders, names in os.walk(start):
        folders[:] = [name for name in folders if not name.startswith(".build")]
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            if path not in ignored:
                found.append(path)
    return found
