// A room on Bun: everybody subscribes to one topic, and what anybody says is published to
// it, the speaker included. Nothing else: no accounts, no numbers, no storage. Prints its
// port and serves until it is ended.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    if (server.upgrade(request)) return undefined;
    return new Response("the socket is at /", { status: 400 });
  },
  websocket: {
    open(socket) {
      socket.subscribe("room");
    },
    message(_socket, text) {
      server.publish("room", text);
    },
  },
});
console.log(server.port);
