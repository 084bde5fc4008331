"""Editors complete the options of public functions from the source alone: pyright's language server is asked.

Run where pyright is installed (extra ``dev``).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house.test_readme import ROOT

VARIABLE = {"initializer", "regularizer", "trainable", "collections", "device", "partitioner", "custom_getter"}
SCOPE = {"initializer", "regularizer", "device", "partitioner", "custom_getter", "reuse", "dtype", "constraint"}
HEAD = "import torch\nfrom torchscope import *\nfrom torchscope import layers, tools\nx = torch.ones(1)"
CASES = {
    'get_variable("w", [3], ': VARIABLE,
    'get_variable_scope().get_variable("w", [3], ': VARIABLE,
    'get_local_variable("w", [3], ': {"device"},
    'get_buffer("w", [3], ': {"persistent", "device"},
    'variable_scope("a", ': SCOPE,
    "ScopedModule(": {"seed", "device", "dtype", "layout"},
    'ScopedModule().select("**", ': {"exclude", "kind", "trainable", "where", "allow_empty"},
    "ScopedModule().summary(": {"depth"},
    "ScopedModule().plan(": {"optimizer"},
    "tools.lora(": {"rank", "alpha"},
    "layers.dense(x, 3, ": {"bias", "initializer", "scope"},
}


class Editor:
    """What an editor says to a language server, and what it hears."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("pyright-langserver")
        assert program is not None
        self.process = subprocess.Popen([program, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.asked, self.folder = 0, folder
        (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
        folders = [{"uri": folder.as_uri(), "name": "editor"}]
        self.request("initialize", {"processId": None, "workspaceFolders": folders, "capabilities": {}})
        self.tell("initialized", {})

    def tell(self, method: str, params: object, **more: object) -> None:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def request(self, method: str, params: object) -> Any:
        self.asked += 1
        self.tell(method, params, id=self.asked)
        while True:
            heard = self.hear()
            if heard.get("id") == self.asked and "method" not in heard:
                return heard["result"]
            if "id" in heard:  # the server asks: it has no settings from us
                self.answer(heard)

    def offers(self, code: str) -> set[str]:
        """The keywords that it offers at the end of some code."""
        uri, head = (self.folder / f"model_{self.asked}.py").as_uri(), f"{HEAD}\n"
        document = {"uri": uri, "languageId": "python", "version": 1, "text": head + code}
        self.tell("textDocument/didOpen", {"textDocument": document})
        position = {"line": head.count("\n"), "character": len(code)}
        found = self.request("textDocument/completion", {"textDocument": {"uri": uri}, "position": position})
        labels = [item["label"] for item in (found or {}).get("items", ())]
        return {label[:-1] for label in labels if label.endswith("=")}

    def answer(self, heard: dict[str, Any]) -> None:
        items = heard.get("params", {}).get("items")
        body = json.dumps({"jsonrpc": "2.0", "id": heard["id"], "result": items and [None] * len(items)}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        stream = self.process.stdout
        assert stream is not None
        size = 0
        while line := stream.readline().strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        assert size, "the language server ended"
        return json.loads(stream.read(size))


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    if shutil.which("pyright-langserver") is None:
        pytest.skip("pyright is not installed (extra dev)")
    editor = Editor(tmp_path_factory.mktemp("editor"))
    with editor.process:  # which closes its streams
        yield editor
        editor.process.kill()


@pytest.mark.parametrize("code", CASES)
def test_an_editor_completes_the_options_of(editor: Editor, code: str) -> None:
    for option in CASES[code]:  # its first letter is typed
        assert option in editor.offers(code + option[0]), f"{option} is not offered"
