// One frontend on Socket.IO's own client: does what it reads, a JSON list a line, and prints what it is told.
//   node socketio.mjs URL OPTIONS
//   ["emit", NAME, ...ARGUMENTS]  ["call", NAME, ...ARGUMENTS]: with an acknowledgement  ["close"]
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, options] = process.argv.slice(2);
const tell = told => process.stdout.write(JSON.stringify(told) + "\n");
const socket = io(url, { reconnectionDelay: 50, reconnectionDelayMax: 200, ...JSON.parse(options) });

socket.io.on("open", () => socket.io.engine.on("upgrade", ({ name }) => tell({ upgrade: name })));
socket.on("connect", () => tell({ connect: socket.io.engine.transport.name }));
socket.on("disconnect", reason => tell({ disconnect: reason }));
socket.on("connect_error", ({ message, data }) => tell({ connect_error: message, data: data ?? null }));
socket.onAny((...event) => tell({ event }));

for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...said] = JSON.parse(line);
  if (word === "emit") socket.emit(...said);
  else if (word === "call")
    socket.timeout(10000).emit(...said, (fault, answer) => tell({ of: said[0], answer: fault ? String(fault) : answer }));
  else socket.disconnect();
}
process.exit(0);
