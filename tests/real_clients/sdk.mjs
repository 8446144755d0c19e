// Says COUNT messages, each with a nonce, while the node is killed and started; prints what it was told.
//   node sdk.mjs GOSSAMER_JS URL TOKEN COUNT
const [source, url, token, count] = process.argv.slice(2);
const { Gossamer, Refused } = await import(source);
const tell = told => process.stdout.write(JSON.stringify(told) + "\n");

const refused = await Gossamer.connect(url, { token: "x".repeat(43) }).catch(fault => fault);
tell({ refused: refused instanceof Refused && refused.code !== "" });

const node = await Gossamer.connect(url, { token, client: "sdk", onstate: state => tell({ state }) });
const unknown = await node.call("room_get", { room: "00000000-0000-0000-0000-000000000000" }).catch(fault => fault);
tell({ code: unknown.code, retryable: unknown.retryable });
const { room } = await node.call("room_create", { name: "tea" });

const seen = (async () => {
  let left = Number(count);
  for await (const event of node.events())
    if (event.event === "user_message") {
      tell({ seen: event.message, seq: event.seq, at: node.position.seq });
      if (!--left) return;
    }
})();
for (let number = 0; number < Number(count); number++) {
  const answer = await node.call("user_message", { room, message: `m${number}`, nonce: `n${number}` });
  tell({ said: number, id: answer.id });
}
await seen;
node.close();
tell({ done: await node.call("room_list").catch(fault => fault.code) });
process.exit(0);
