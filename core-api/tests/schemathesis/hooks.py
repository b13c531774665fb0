"""Gives schemathesis people and rows that exist.

Each run is of one actor (ACTOR) and of the operations that the authorisation matrix lets
that actor into. The matrix's world (WORLD, host:port) makes people and rows; here they are
put where a made-up request needs them: the token, ids in the path, ids in the body. What
schemathesis made wrong on purpose stays wrong. What each operation answered is written to
RESULTS when the run ends.
"""

import atexit
import collections
import json
import os
import re
import socket
import struct
import uuid
import zlib

import schemathesis
from schemathesis.generation import GenerationMode

ACTOR = os.environ["ACTOR"]
UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
SAFE = ("GET", "HEAD", "OPTIONS")



def png(side):
    """A grey picture of this many pixels a side."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    lines = chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * side) * side))
    return b"\x89PNG\r\n\x1a\n" + head + lines + chunk(b"IEND", b"")


PICTURE = png(64)
answers = collections.defaultdict(collections.Counter)
# Whose token an answer with an id was given to.
seen = {}


class World:
    """The rows of one person, by operation; made anew when an operation has used them up."""

    def __init__(self):
        host, port = os.environ["WORLD"].rsplit(":", 1)
        self.lines = socket.create_connection((host, int(port))).makefile("rw")
        self.home = self.ask("*")
        self.own = {}

    def ask(self, what):
        self.lines.write(f"{ACTOR} {what}\n")
        self.lines.flush()
        return json.loads(self.lines.readline())

    def rows(self, operation, phase, method):
        """Whose token is sent, and the operation's path and body with that person's rows."""
        if phase == "stateful" or method in SAFE:
            people = self.home
        else:
            if operation not in self.own:
                self.own[operation] = self.ask(operation)
            people = self.own[operation]
        return people["token"], people["operations"].get(operation)

    def used(self, operation, phase, method, status):
        """What succeeded may have changed the rows, and a person may have left."""
        if phase == "stateful":
            if status == 401:
                self.home = self.ask("*")
        elif status < 300 and method not in SAFE:
            self.own.pop(operation, None)


world = World()


def named(method, path):
    parts = ("{}" if part.startswith("{") else part for part in path.split("/"))
    return f"{method.upper()} {'/'.join(parts)}"


def phase_of(case):
    return case.meta.phase.name.value if case.meta else "examples"


def is_wrong_on_purpose(case, place):
    """Whether schemathesis made this part of a request to be refused."""
    components = case.meta.components if case.meta else {}
    wrong = [part for part, info in components.items() if info.mode == GenerationMode.NEGATIVE]
    return any(str(getattr(part, "value", part)) == place for part in wrong)


def is_without_token(case):
    """Whether it is the token that schemathesis left out or made up."""
    data = case.meta.phase.data if case.meta else None
    return is_wrong_on_purpose(case, "header") and getattr(data, "parameter", None) == "Authorization"


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Leaves out what the actor is refused, and links to it: the matrix itself tries that."""
    let_in = set()
    for path, methods in raw_schema["paths"].items():
        for method in [name for name, operation in methods.items() if "responses" in operation]:
            if named(method, path) in world.home["operations"]:
                let_in.add(methods[method]["operationId"])
            else:
                del methods[method]
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                links = response.get("links", {})
                for name in [name for name, link in links.items() if link["operationId"] not in let_in]:
                    del links[name]


def with_rows(made, row):
    """A made-up body with ids that exist where the row's body has ids."""
    if isinstance(made, dict) and isinstance(row, dict):
        return {key: with_rows(value, row.get(key)) for key, value in made.items()}
    if isinstance(made, list) and isinstance(row, list) and row:
        return [with_rows(value, row[0]) for value in made]
    if isinstance(made, str) and isinstance(row, str) and UUID.match(row):
        return row
    return made


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = named(case.method, case.operation.path)
    if operation not in world.home["operations"]:
        return
    phase = phase_of(case)
    token, rows = world.rows(operation, phase, case.method)
    if phase == "stateful":
        # A sequence goes on as whoever began it: they may have left, but are nobody else.
        made = [seen[value] for value in case.path_parameters.values() if value in seen]
        token = made[0] if made else token
        # A key that an earlier sequence used would be answered with what that one made,
        # and may have deleted since.
        if "Idempotency-Key" in case.headers and not is_wrong_on_purpose(case, "header"):
            case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if not is_without_token(case):
        case.headers["Authorization"] = f"Bearer {token}"
    if rows is None:
        return
    if not is_wrong_on_purpose(case, "path"):
        names = case.operation.path.split("/")
        for name, value in zip(names, rows["path"].split("/")):
            # A sequence of requests goes on with what an answer gave.
            is_followed = phase == "stateful" and case.path_parameters.get(name[1:-1]) in seen
            if name.startswith("{") and not is_followed:
                case.path_parameters[name[1:-1]] = value
    if is_wrong_on_purpose(case, "body") or not rows["body"]:
        return
    if rows["body"] == "PNG":
        if phase == "examples":
            case.body, case.media_type = PICTURE, "image/png"
        return
    if not rows["body"].startswith("{"):
        if phase == "examples":
            case.body = rows["body"]
        return
    body = json.loads(rows["body"])
    if phase == "examples":
        case.body = body
    elif isinstance(case.body, dict):
        case.body = with_rows(case.body, body)


@schemathesis.hook
def after_call(context, case, response):
    operation = named(case.method, case.operation.path)
    answers[operation][response.status_code] += 1
    world.used(operation, phase_of(case), case.method, response.status_code)
    if response.status_code == 201:
        token = (case.headers.get("Authorization") or "").removeprefix("Bearer ")
        ids = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", response.text or "")
        seen.update((id, token) for id in ids if id not in seen)


@atexit.register
def write():
    told = {name: answers.get(name, {}) for name in world.home["operations"]}
    with open(os.environ["RESULTS"], "w") as file:
        json.dump({"actor": ACTOR, "operations": told}, file)
