"""The C and C++ code of the documents, as programs.

Every block marked `c` or `cpp` of README.md and docs/*.md is compiled with the tests' warnings as
errors and run against the simulator; it must end with 0 and write nothing to stderr. A block with a
`main` is a program as it stands. Any other is the inside of a function: the usual headers are
included, and of `client`, `request`, `answer` and `token` those exist that it uses and does not make
itself. In front of a block that writes to stdout a comment of the page, which readers do not see,
tells what its output must contain: `<!-- prints Sea -->`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

C_HEADERS = ("elkapi.h", "stdint.h", "stdio.h", "stdlib.h", "string.h")
CPP_HEADERS = ("elkapi.hpp", "cstdint", "iostream", "string", "vector")
QUESTION = r'"{\"messages\":[{\"role\":\"user\",\"content\":\"Name three seas.\"}]}"'
PICTURE = (
    r'"{\"model\":\"gemini-3-pro-image-preview\",\"messages\":[{\"role\":\"user\",\"content\":\"A cat\"}]}"'
)
#: Name, how a block that makes it itself looks, how it is made for the others, how it is given up.
C_GIVEN = (
    (
        "client",
        r"elk_client \*client =",
        "elk_client *client = elk_client_new(NULL, 0);",
        "elk_client_free(client);",
    ),
    ("request", r"\brequest(\[\w+\])? =|char request\[", "const char *request = {question};", ""),
    ("token", r"elk_cancel \*token =", "elk_cancel *token = elk_cancel_new();", "elk_cancel_free(token);"),
    (
        "answer",
        r"elk_result \*answer =",
        "elk_result *answer = elk_chat_completions(client, {question}, ELK_NUL, NULL);",
        "elk_result_free(answer);",
    ),
)
CPP_GIVEN = (
    ("client", r"elk::client client\b", "const elk::client client;", ""),
    ("request", r"elk::request request\b|\brequest =", "const char *request = {question};", ""),
    ("token", r"elk::cancel token\b", "elk::cancel token;", ""),
    ("answer", r"answer =", "const elk::answer answer = client.chat_completions({question});", ""),
)


@dataclass
class Snippet:
    name: str
    language: str
    code: str
    prints: str | None

    @property
    def writes(self) -> bool:
        return re.search(r"(?<!f)\bprintf\(|\bputs\(|\bstdout\b|std::cout", self.code) is not None

    def program(self) -> str:
        if re.search(r"\bmain\(", self.code):
            return self.code
        cpp = self.language == "cpp"
        question = PICTURE if "image" in self.code else QUESTION
        before, after = [], []
        # What stands in a text or a comment is no use of a name.
        uses = re.sub(r'"(?:\\.|[^"\\])*"|/\*.*?\*/|//[^\n]*', "", self.code, flags=re.S)
        for name, makes, made, given_up in reversed(CPP_GIVEN if cpp else C_GIVEN):
            known = re.search(makes, self.code)
            if not known and re.search(rf"(?<![\"./\w]){name}\b", uses):
                before.insert(0, made.replace("{question}", question))
                uses += made
                known = True
            if known and given_up and given_up not in self.code:
                after.append(given_up)
        includes = [f"#include <{header}>" for header in (CPP_HEADERS if cpp else C_HEADERS)]
        body = [
            "int main(" + ("" if cpp else "void") + ") {",
            *before,
            "{" if cpp else "",
            self.code.rstrip(),
        ]
        return "\n".join([*includes, *body, *after, "}" if cpp else "", "return 0;", "}", ""])


def snippets() -> Iterator[Snippet]:
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(
            r"(?:^<!-- prints ([^\n]+) -->\n+)?^```(c|cpp)\n(.*?)^```$", text, re.S | re.M
        ):
            line = text.count("\n", 0, found.start(3))
            yield Snippet(f"{page.name}:{line}", found[2], found[3], found[1])
