#!/usr/bin/env python3
"""Somebody else's client: watches a show, chats, and buys in its flash sale.

It knows nothing but the documented protocol: REST through the standard library, the
socket through the `websockets` package (10.4 and later), MessagePack through `msgpack`.
Nothing of Hawker's own code is used, so that whatever both sides of our own code got
wrong together shows here.

usage: watch_and_buy.py BASE_URL STREAM SALE json|msgpack

Prints one JSON object: what it saw, and "verdict": "bought" when all went well.
"""

import asyncio
import json
import sys
import urllib.error
import urllib.request
import uuid

try:
    import msgpack
    import websockets
except ImportError as missing:
    sys.exit(
        f"this client needs the Python module {missing.name!r}: "
        "install Debian's python3-websockets and python3-msgpack"
    )

DEADLINE = 20


def rest(base, method, path, body=None, token=None, key=None):
    """One REST call; a refusal ends the program with its problem details."""
    headers = {"Accept": "application/json"}
    data = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if key:
        headers["Idempotency-Key"] = key
    request = urllib.request.Request(base + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            text = response.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as refused:
        sys.exit(f"{method} {path} answered {refused.code}: {refused.read().decode()}")


class Show:
    """A socket in a room: sends commands, keeps what comes, checks the numbering."""

    def __init__(self, socket, wire):
        self.socket = socket
        self.wire = wire
        self.last_id = 0
        self.position = None
        self.events = []
        self.private = []

    async def send(self, cmd, **fields):
        self.last_id += 1
        frame = {"id": self.last_id, "cmd": cmd, **fields}
        payload = json.dumps(frame) if self.wire == "json" else msgpack.packb(frame)
        await self.socket.send(payload)
        return self.last_id

    async def receive(self):
        """Reads one frame and files it."""
        payload = await asyncio.wait_for(self.socket.recv(), DEADLINE)
        if self.wire == "json":
            assert isinstance(payload, str), "JSON comes in text frames"
            frame = json.loads(payload)
        else:
            assert isinstance(payload, bytes), "MessagePack comes in binary frames"
            frame = msgpack.unpackb(payload)
        if "epoch" in frame and "from" in frame:
            assert len(frame["m"]) == frame["to"] - frame["from"] + 1, frame
            if self.position:
                epoch, seq = self.position
                assert frame["epoch"] == epoch and frame["from"] == seq + 1, (self.position, frame)
            self.position = (frame["epoch"], frame["to"])
            self.events += frame["m"]
        elif "type" in frame:
            if frame["type"] == "snapshot":
                self.position = (frame["epoch"], frame["seq"])
            self.private.append(frame)
        else:
            assert "now" in frame and "m" in frame, frame

    async def until(self, found):
        """Reads until `found()` returns something."""
        while True:
            result = found()
            if result:
                return result
            await self.receive()

    async def answer(self, number):
        def mine():
            for message in self.private:
                if message.get("id") == number and message["type"] in ("reply", "error"):
                    return message
            return None

        message = await self.until(mine)
        if message["type"] == "error":
            sys.exit(f"command {number} was refused: {message}")
        return message

    def find(self, messages, kind, **fields):
        for message in messages:
            if message["type"] == kind and all(message.get(name) == value for name, value in fields.items()):
                return message
        return None


async def watch_and_buy(base, stream, sale, wire):
    name = f"python-{wire}"
    account = rest(
        base,
        "POST",
        "/auth/register",
        {"email": f"{name}-{uuid.uuid4().hex}@example.com", "password": uuid.uuid4().hex, "display_name": name},
    )
    token = account["access_token"]
    ticket = rest(base, "POST", f"/streams/{stream}/ticket", {"part": "viewer"}, token)
    url = f"{ticket['url']}?ticket={ticket['ticket']}"

    async with websockets.connect(url, subprotocols=[f"hawker.v1.{wire}"]) as socket:
        assert socket.subprotocol == f"hawker.v1.{wire}", socket.subprotocol
        show = Show(socket, wire)
        hello = await show.until(lambda: show.find(show.private, "hello"))
        assert hello["user"] == account["user"]["id"], hello
        joined = await show.answer(await show.send("join", stream=stream))
        assert joined["result"] == "joined", joined
        snapshot = await show.until(lambda: show.find(show.private, "snapshot"))
        offered = [each for each in snapshot["sales"] if each["id"] == sale]
        assert offered and offered[0]["remaining"] > 0, snapshot["sales"]

        text = f"hello from Python in {wire} — ¡también con tildes!"
        said = await show.answer(await show.send("chat", text=text, request_id=str(uuid.uuid4())))
        assert said["result"] == "said", said
        heard = await show.until(lambda: show.find(show.events, "chat", id=said["message"]))
        assert heard["text"] == text and heard["author"]["name"] == name, heard

        await show.answer(await show.send("react", kind="heart", count=3))

        request = str(uuid.uuid4())
        held = await show.answer(await show.send("buy", sale=sale, quantity=1, request_id=request))
        assert held["result"] == "held" and held["status"] == "held", held
        again = await show.answer(await show.send("buy", sale=sale, quantity=1, request_id=request))
        assert again["reservation"] == held["reservation"], (held, again)

        order, payment, receipt = check_out(base, token, stream, held["reservation"])
        purchase = await show.until(lambda: show.find(show.events, "purchase"))

    return {
        "verdict": "bought",
        "websockets": getattr(websockets, "__version__", None) or websockets.version.version,
        "message": said["message"],
        "reservation": held["reservation"],
        "order": order["id"],
        "payment_status": payment["status"],
        "receipt": receipt is not None,
        "purchase": purchase["title"],
        "events": len(show.events),
    }


def check_out(base, token, stream, reservation):
    """From a hold to a receipt."""
    address = rest(
        base,
        "POST",
        "/users/addresses",
        {
            "recipient": "Python Client",
            "line1": "Example Street 1",
            "city": "Exampletown",
            "postal_code": "12345",
            "country": "DE",
        },
        token,
    )
    wanted = {"reservations": [reservation], "address_id": address["id"], "stream_id": stream}
    checkout = rest(base, "POST", "/orders/checkout", wanted, token, str(uuid.uuid4()))
    order = rest(base, "POST", "/orders", {"checkout_id": checkout["id"]}, token, str(uuid.uuid4()))
    payment = rest(
        base, "POST", f"/orders/{order['id']}/payments", {"token": "test_success"}, token, str(uuid.uuid4())
    )
    assert payment["status"] == "captured", payment
    receipt = rest(base, "GET", f"/orders/{order['id']}/receipt", None, token)
    return order, payment, receipt


def main():
    if len(sys.argv) != 5 or sys.argv[4] not in ("json", "msgpack"):
        sys.exit(__doc__)
    base, stream, sale, wire = sys.argv[1:]
    verdict = asyncio.run(asyncio.wait_for(watch_and_buy(base, stream, sale, wire), 60))
    print(json.dumps(verdict))


if __name__ == "__main__":
    main()
