"""A Hugging Face Hub on the loopback, as much of its HTTP API as publishing and loading a dataset speak."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "fake" * 9


class Repo:
    """One dataset repository: the files of its newest commit and the commits that led there."""

    def __init__(self, private: bool):
        self.private = private
        self.files: dict[str, bytes] = {}
        self.commits: list[dict] = [{"oid": "0" * 40, "summary": "initial commit"}]

    @property
    def sha(self) -> str:
        return self.commits[-1]["oid"]


class Hub:
    """The state behind the server; `faults` (pattern -> status) makes matching requests fail once each.

    With a folder in `xet` the client's own Xet transport stores there, and a commit names contents by their hash.
    """

    def __init__(self):
        self.repos: dict[str, Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.faults: list[tuple[str, int]] = []
        self.xet: Path | None = None
        self.url = ""


def blob_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def described(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": blob_oid(content)}
    if path.endswith(".parquet"):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args):
        pass

    def answer(self, status: int, body=None, **headers):
        content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        self.send_response(status)
        headers.setdefault("Content-Type", "application/json")
        headers.setdefault("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self, code: str):
        self.answer(404, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    def route(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        for fault in self.hub.faults:
            if re.search(fault[0], f"{self.command} {path}"):
                self.hub.faults.remove(fault)
                return self.answer(fault[1], {"error": "fault"})
        writes = self.command == "POST" and not re.search(r"paths-info|validate-yaml|info/lfs|^/lfs", path)
        if writes and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        for method, pattern, do in ROUTES:
            if (found := re.fullmatch(pattern, path)) and self.command in method.split("|"):
                return do(self, body, **found.groupdict())
        return self.missing("EntryNotFound")

    do_GET = do_HEAD = do_POST = do_PUT = route

    def repo(self, name: str) -> Repo | None:
        found = self.hub.repos.get(name)
        if found is None:
            self.missing("RepoNotFound")
        return found

    def create(self, body):
        asked = json.loads(body)
        owner = asked.get("organization") or "tester"
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repos:
            return self.answer(409, {"error": "You already created this dataset repo", "url": name})
        self.hub.repos[name] = Repo(bool(asked.get("private")) or asked.get("visibility") == "private")
        return self.answer(200, {"url": f"{self.hub.url}/datasets/{name}", "id": name, "name": name})

    def info(self, body, name, rev=None):
        if repo := self.repo(name):
            if rev not in (None, "main", repo.sha):
                return self.missing("RevisionNotFound")
            siblings = [{"rfilename": path} for path in repo.files]
            return self.answer(
                200, {"id": name, "sha": repo.sha, "siblings": siblings, "private": repo.private, "tags": []}
            )

    def preupload(self, body, name, rev):
        if repo := self.repo(name):
            files = []
            for asked in json.loads(body)["files"]:
                path = asked["path"]
                entry = {"path": path, "uploadMode": "lfs" if path.endswith(".parquet") else "regular"}
                if path in repo.files:
                    known = described(path, repo.files[path])
                    entry["oid"] = known["lfs"]["oid"] if "lfs" in known else known["oid"]
                files.append(entry | {"shouldIgnore": False})
            return self.answer(200, {"files": files})

    def batch(self, body, name):
        objects = []
        for item in json.loads(body)["objects"]:
            entry = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.lfs:
                entry["actions"] = {
                    "upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"},
                    "verify": {"href": f"{self.hub.url}/lfs-verify"},
                }
            objects.append(entry)
        return self.answer(200, {"transfer": "basic", "objects": objects})

    def put(self, body, oid):
        if self.headers.get("Authorization") or hashlib.sha256(body).hexdigest() != oid:
            return self.answer(400, {"error": "the token travelled along, or the content is another"})
        self.hub.lfs[oid] = body
        return self.answer(200, {})

    def verify(self, body):
        asked = json.loads(body)
        right = len(self.hub.lfs.get(asked["oid"], b"")) == asked["size"]
        return self.answer(200 if right else 404, {})

    def commit(self, body, name, rev):
        repo = self.repo(name)
        if repo is None:
            return None
        lines = [json.loads(line) for line in body.splitlines() if line]
        head = lines[0]["value"]
        if head.get("parentCommit") not in (None, repo.sha):
            return self.answer(412, {"error": "A commit has happened since. Please refresh and try again."})
        files = dict(repo.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = value["oid"].encode() if self.hub.xet else self.hub.lfs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        repo.files = files
        repo.commits.append({"oid": hashlib.sha1(body).hexdigest(), "summary": head["summary"], "n": len(lines) - 1})
        return self.answer(
            200, {"commitOid": repo.sha, "commitUrl": f"{self.hub.url}/datasets/{name}/commit/{repo.sha}"}
        )

    def xet_token(self, body, name, rev):
        if self.hub.xet is None:
            return self.missing("EntryNotFound")
        return self.answer(200, {"casUrl": f"local://{self.hub.xet}", "accessToken": "x", "exp": 4_000_000_000})

    def tree(self, body, name, rev, folder=""):
        if repo := self.repo(name):
            inside = [path for path in repo.files if not folder or path.startswith(f"{folder}/")]
            if folder and not inside:
                return self.missing("EntryNotFound")
            entries = [described(path, repo.files[path]) for path in sorted(inside)]
            folders = {path.rsplit("/", 1)[0] for path in inside if "/" in path}
            return self.answer(
                200, [*entries, *({"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in folders)]
            )

    def paths_info(self, body, name, rev):
        if repo := self.repo(name):
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else re.findall(r"paths=([^&]+)", body.decode())
            found = [unquote(path) for path in wanted if unquote(path) in repo.files]
            return self.answer(200, [described(path, repo.files[path]) for path in found])

    def resolve(self, body, name, rev, path):
        if repo := self.repo(name):
            if path not in repo.files:
                return self.missing("EntryNotFound")
            content = repo.files[path]
            known = described(path, content)
            etag = known["lfs"]["oid"] if "lfs" in known else known["oid"]
            head = {"ETag": f'"{etag}"', "X_Repo_Commit": repo.sha, "X_Linked_Etag": f'"{etag}"',
                    "X_Linked_Size": str(len(content)), "Content_Type": "application/octet-stream"}  # fmt: skip
            start, end = 0, len(content)
            if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
                start, end = int(found[1]), int(found[2] or end - 1) + 1
            status = 206 if (start, end) != (0, len(content)) else 200
            return self.answer(status, content[start:end], Content_Length=str(end - start), **head)


NAME = r"(?P<name>[^/]+/[^/]+?)"
ROUTES = [
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", lambda self, body: self.answer(200, {"errors": [], "warnings": []})),
    ("GET", "/api/whoami-v2", lambda self, body: self.answer(200, {"name": "tester", "type": "user", "orgs": []})),
    ("GET", f"/api/datasets/{NAME}", Handler.info),
    ("GET", f"/api/datasets/{NAME}/revision/(?P<rev>[^/]+)", Handler.info),
    ("POST", f"/api/datasets/{NAME}/preupload/(?P<rev>[^/]+)", Handler.preupload),
    ("POST", f"/api/datasets/{NAME}/commit/(?P<rev>[^/]+)", Handler.commit),
    ("GET", f"/api/datasets/{NAME}/tree/(?P<rev>[^/]+)(?:/(?P<folder>.+))?", Handler.tree),
    ("GET", f"/api/datasets/{NAME}/xet-write-token/(?P<rev>[^/]+)", Handler.xet_token),
    ("POST", f"/api/datasets/{NAME}/paths-info/(?P<rev>[^/]+)", Handler.paths_info),
    ("POST", rf"/datasets/{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", Handler.put),
    ("POST", "/lfs-verify", Handler.verify),
    ("GET|HEAD", f"/datasets/{NAME}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", Handler.resolve),
]


@contextmanager
def serving():
    """Give a Hub that listens on a free port of the loopback while the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
