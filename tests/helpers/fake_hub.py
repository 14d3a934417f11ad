"""A hub on 127.0.0.1 with just enough of its HTTP API to download snapshots and push folders."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(ThreadingHTTPServer):
    """Repositories in memory, and a record of what was asked for.

    ``repositories`` maps an id to its files, ``downloads`` lists the files that were fetched, ``commits`` the messages.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.downloads: list[str] = []
        self.commits: list[str] = []
        self.tokens: set[str | None] = set()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to talk to this hub."""
        return {"HF_ENDPOINT": f"http://127.0.0.1:{self.server_port}", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    def add_folder(self, repository: str, folder: Path) -> None:
        """Take a local folder's files as a repository."""
        files = self.repositories.setdefault(repository, {})
        for path in folder.rglob("*"):
            if path.is_file():
                files[path.relative_to(folder).as_posix()] = path.read_bytes()


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._resolve(with_content=False)

    def do_GET(self) -> None:
        parts = self._parts()
        if parts[:2] != ["api", "models"]:
            self._resolve(with_content=True)
            return
        repository = "/".join(parts[2:4])
        files = self.server.repositories.get(repository)
        if files is None or parts[5:6] not in (["main"], ["v2"], [COMMIT]):
            code = "RepoNotFound" if files is None else "RevisionNotFound"
            self._json({"error": code}, 404, {"X-Error-Code": code})
        elif parts[4] == "revision":
            self._json({"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]})
        else:
            self._json([_tree_entry(name, content) for name, content in files.items()])

    def do_POST(self) -> None:
        parts = self._parts()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.tokens.add(self.headers.get("Authorization"))
        if parts[:3] == ["api", "repos", "create"]:
            asked = json.loads(body)
            repository = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.server.repositories.setdefault(repository, {})
            host = f"http://127.0.0.1:{self.server.server_port}"
            self._json({"url": f"{host}/{repository}", "id": repository, "name": repository})
        elif parts[4] == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._json({"files": files})
        else:
            self._commit("/".join(parts[2:4]), body)

    def _commit(self, repository: str, body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "header":
                self.server.commits.append(entry["value"]["summary"])
            if entry["key"] == "file":
                content = base64.b64decode(entry["value"]["content"])
                self.server.repositories[repository][entry["value"]["path"]] = content
        host = f"http://127.0.0.1:{self.server.server_port}"
        self._json({"success": True, "commitOid": COMMIT, "commitUrl": f"{host}/{repository}/commit/{COMMIT}"})

    def _resolve(self, with_content: bool) -> None:
        parts = self._parts()
        name = "/".join(parts[4:])
        content = self.server.repositories.get("/".join(parts[:2]), {}).get(name)
        if content is None:
            self._json({"error": "EntryNotFound"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        if with_content:
            self.server.downloads.append(name)
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self._answer(content if with_content else b"", 200, headers, len(content))

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self._answer(content, status, {"Content-Type": "application/json", **(headers or {})}, len(content))

    def _answer(self, content: bytes, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def _parts(self) -> list[str]:
        return self.path.split("?")[0].strip("/").split("/")


def _tree_entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
