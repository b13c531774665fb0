// Somebody else's client: watches a show, chats, and buys in its flash sale, with Node's
// usual WebSocket client (`ws`, which offers permessage-deflate by itself) and its usual
// MessagePack. It knows nothing but the documented protocol and uses none of Hawker's own
// code, so that whatever both sides of that got wrong together shows here.
//
// usage: node watch_and_buy.mjs BASE_URL STREAM SALE json|msgpack
//
// Prints one JSON object: what it saw, and "verdict": "bought" when all went well.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { decode, encode } from "@msgpack/msgpack";
import WebSocket from "ws";

const DEADLINE_MS = 60_000;

const [base, stream, sale, wire] = process.argv.slice(2);
if (!["json", "msgpack"].includes(wire)) {
  console.error("usage: node watch_and_buy.mjs BASE_URL STREAM SALE json|msgpack");
  process.exit(2);
}

/** One REST call; a refusal ends the program with its problem details. */
async function rest(method, path, { body, token, key } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers["idempotency-key"] = key;
  const response = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert(response.ok, `${method} ${path} answered ${response.status}: ${text}`);
  return text ? JSON.parse(text) : null;
}

/** A socket in a room: sends commands, keeps what comes, checks the numbering. */
class Show {
  position = null;
  events = [];
  mine = [];
  #lastId = 0;
  #waiting = new Set();

  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data, isBinary) => this.#file(data, isBinary));
    socket.on("close", (code) => this.#fail(new Error(`the socket was closed with ${code}`)));
    socket.on("error", (error) => this.#fail(error));
  }

  #file(data, isBinary) {
    try {
      assert.equal(isBinary, wire === "msgpack", "text frames carry JSON, binary ones MessagePack");
      const frame = isBinary ? decode(data) : JSON.parse(data.toString());
      if ("epoch" in frame && "from" in frame) this.#number(frame);
      else if ("type" in frame) {
        if (frame.type === "snapshot") this.position = { epoch: frame.epoch, seq: frame.seq };
        this.mine.push(frame);
      } else assert("now" in frame && "m" in frame, JSON.stringify(frame));
    } catch (error) {
      return this.#fail(error);
    }
    for (const look of this.#waiting) look();
  }

  #number(frame) {
    assert.equal(frame.m.length, frame.to - frame.from + 1, "as many events as numbers");
    if (this.position) {
      assert.equal(frame.epoch, this.position.epoch);
      assert.equal(frame.from, this.position.seq + 1, "no gap and no repeat");
    }
    this.position = { epoch: frame.epoch, seq: frame.to };
    this.events.push(...frame.m);
  }

  #fail(error) {
    this.failed ??= error;
    for (const look of this.#waiting) look();
  }

  /** Resolves with what `find` finds, now or in what comes. */
  until(find) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = find();
        if (found === undefined && !this.failed) return;
        this.#waiting.delete(look);
        if (found !== undefined) resolve(found);
        else reject(this.failed);
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Sends a command and resolves with its reply. */
  async command(cmd, fields) {
    const id = ++this.#lastId;
    const frame = { id, cmd, ...fields };
    this.socket.send(wire === "json" ? JSON.stringify(frame) : encode(frame));
    const isAnswer = (message) => message.id === id && ["reply", "error"].includes(message.type);
    const answer = await this.until(() => this.mine.find(isAnswer));
    assert.equal(answer.type, "reply", `${cmd} was refused: ${JSON.stringify(answer)}`);
    return answer;
  }

  private(type) {
    return this.until(() => this.mine.find((message) => message.type === type));
  }

  event(type, is = () => true) {
    return this.until(() => this.events.find((event) => event.type === type && is(event)));
  }
}

/** From a hold to a receipt. */
async function checkOut(token, reservation) {
  const key = () => randomUUID();
  const address = await rest("POST", "/users/addresses", {
    token,
    body: {
      recipient: "Node Client",
      line1: "Example Street 1",
      city: "Exampletown",
      postal_code: "12345",
      country: "DE",
    },
  });
  const wanted = { reservations: [reservation], address_id: address.id, stream_id: stream };
  const checkout = await rest("POST", "/orders/checkout", { token, key: key(), body: wanted });
  const order = await rest("POST", "/orders", { token, key: key(), body: { checkout_id: checkout.id } });
  const path = `/orders/${order.id}`;
  const payment = await rest("POST", `${path}/payments`, { token, key: key(), body: { token: "test_success" } });
  const receipt = await rest("GET", `${path}/receipt`, { token });
  return { order, payment, receipt };
}

async function watchAndBuy() {
  const name = `node-${wire}`;
  const account = await rest("POST", "/auth/register", {
    body: { email: `${name}-${randomUUID()}@example.com`, password: randomUUID(), display_name: name },
  });
  const token = account.access_token;
  const ticket = await rest("POST", `/streams/${stream}/ticket`, { token, body: { part: "viewer" } });
  const socket = new WebSocket(`${ticket.url}?ticket=${ticket.ticket}`, [`hawker.v1.${wire}`]);
  const show = new Show(socket);
  const hello = await show.private("hello");
  assert.equal(socket.protocol, `hawker.v1.${wire}`);
  assert.equal(hello.user, account.user.id);
  const joined = await show.command("join", { stream });
  assert.equal(joined.result, "joined");
  const snapshot = await show.private("snapshot");
  assert(snapshot.sales.find((each) => each.id === sale)?.remaining > 0, JSON.stringify(snapshot.sales));

  const text = `hello from Node in ${wire} — ¡también con tildes!`;
  const chat = { text, request_id: randomUUID() };
  const said = await show.command("chat", chat);
  assert.equal(said.result, "said");
  const heard = await show.event("chat", (event) => event.id === said.message);
  assert.deepEqual([heard.text, heard.author.name], [text, name]);
  const saidAgain = await show.command("chat", chat);
  assert.equal(saidAgain.message, said.message, "a resend gets the first answer");

  await show.command("react", { kind: "heart", count: 3 });

  const buy = { sale, quantity: 1, request_id: randomUUID() };
  const held = await show.command("buy", buy);
  assert.deepEqual([held.result, held.status], ["held", "held"]);
  const again = await show.command("buy", buy);
  assert.equal(again.reservation, held.reservation, "a resend gets the first hold");

  const { order, payment, receipt } = await checkOut(token, held.reservation);
  const purchase = await show.event("purchase");
  const extensions = socket.extensions;
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.close(1000);
  return {
    verdict: "bought",
    message: said.message,
    reservation: held.reservation,
    order: order.id,
    payment_status: payment.status,
    receipt: receipt !== null,
    purchase: purchase.title,
    events: show.events.length,
    extensions,
    closed: await closed,
  };
}

const deadline = setTimeout(() => {
  console.error(`not done in ${DEADLINE_MS} ms`);
  process.exit(1);
}, DEADLINE_MS);
console.log(JSON.stringify(await watchAndBuy()));
clearTimeout(deadline);
