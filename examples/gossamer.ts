// The bridge of a Gossamer node for browsers and Node.js 22+: one file, no dependency, typed, resumes by itself.
//
//   const node = await Gossamer.connect("ws://127.0.0.1:7117", { token });
//   const { room } = await node.call("room_create", { name: "tea" });
//   for await (const event of node.events())
//     if (event.event === "user_message" && !event.self) console.log(event.username, event.message);
//
// Commands, events and codes are those of docs/bridge.md. What peers wrote is text: show it as textContent.

// <types> written by `make schema`; do not edit
export interface Commands { [command: string]: { [key: string]: unknown } }
export interface Answers { [command: string]: any }
export type Event = { event: string; seq?: number; [key: string]: any };
// </types>

export interface Position { epoch: string; seq: number }

export interface Options {
  /** A token of `gossamer token create`; a page that the node itself serves needs none. */
  token?: string;
  /** What the owner sees this frontend called. */
  client?: string;
  subscribe?: { events?: string[]; rooms?: string[] };
  /** Where an earlier run stopped: its `position`, kept somewhere. */
  resume?: Position;
  /** A name under which the node keeps the position; `ack` moves it. */
  consumer?: string;
  /** Called when the connection is lost and when it is back. */
  onstate?: (state: "open" | "lost") => void;
}

/** What the node refused: `code` is one of docs/errors.md. */
export class Refused extends Error {
  constructor(readonly code: string, message: string, readonly retryable = false, readonly details: Record<string, unknown> = {}) {
    super(message);
  }
}

type Waiting = { frame: string; again: boolean; done: (answer: any) => void; fail: (fault: Refused) => void };
type Taker = { done: (next: IteratorResult<Event>) => void; fail: (fault: Refused) => void };

const MOST_WAITING = 10_000; // events that nobody has taken; above, the socket is closed and resumed when they are
const OPEN_MS = 10_000, CALL_MS = 60_000, FIRST_PAUSE_MS = 250, LAST_PAUSE_MS = 15_000;
const FINAL: Record<number, string> = { 4401: "unauthorized", 4403: "origin_not_allowed", 4408: "unauthorized" };

export class Gossamer {
  hello: { user_id: string; username: string; log_epoch: string; seq: number; [key: string]: unknown };
  /** Everything up to here was handed out by `events`: what to `resume` at in another run. */
  position: Position | null;

  private socket: WebSocket | null = null;
  private ready = false;
  private reached: Position | null; // what came, taken or not: where a new connection resumes
  private asked = 0;
  private pause = FIRST_PAUSE_MS;
  private readonly waiting = new Map<number, Waiting>();
  private readonly queue: Event[] = [];
  private taker: Taker | null = null;
  private full = false;
  private over: Refused | null = null;

  private constructor(private readonly url: string, private readonly options: Options) {
    this.position = this.reached = options.resume ?? null;
    this.hello = { user_id: "", username: "", log_epoch: "", seq: 0 };
  }

  /** Connect to `ws://HOST:PORT`; rejects with Refused if the node does not answer or refuses. */
  static async connect(url: string, options: Options = {}): Promise<Gossamer> {
    const node = new Gossamer(url, options);
    await node.open();
    return node;
  }

  /** Send one command and return what its `ok` carries.
   *  With a `nonce` it is sent again when the connection was lost meanwhile, and done once all the same. */
  call<C extends keyof Commands & string>(command: C, keys?: Commands[C], timeout = CALL_MS): Promise<Answers[C]> {
    const req = ++this.asked, frame = JSON.stringify({ ...keys, event: command, req });
    const again = typeof (keys as { nonce?: unknown } | undefined)?.nonce === "string";
    return new Promise((done, fail) => {
      if (this.over) return fail(this.over);
      if (!this.ready && !again) return fail(lost());
      const timer = setTimeout(() => {
        this.waiting.delete(req);
        fail(new Refused("timeout", `the node did not answer ${command} in ${timeout} ms`, true));
      }, timeout);
      this.waiting.set(req, {
        frame, again,
        done: answer => { clearTimeout(timer); done(answer); },
        fail: fault => { clearTimeout(timer); fail(fault); },
      });
      if (this.ready) this.socket!.send(frame);
    });
  }

  /** Every event in order, none lost and none twice, across lost connections; ends with `close`. */
  async *events(): AsyncGenerator<Event, void, undefined> {
    for (;;) {
      const next = await this.take();
      if (next.done) return;
      this.position = moved(this.position, next.value);
      yield next.value;
    }
  }

  close(): void {
    this.end(new Refused("closed", "the connection was closed"));
    this.socket?.close();
  }

  private take(): Promise<IteratorResult<Event>> {
    const event = this.queue.shift();
    if (event) return Promise.resolve({ done: false, value: event });
    if (this.over) return this.over.code === "closed" ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(this.over);
    if (this.full) { this.full = false; this.retry(0); }
    return new Promise((done, fail) => { this.taker = { done, fail }; });
  }

  private give(event: Event): void {
    this.reached = moved(this.reached, event);
    if (this.taker) { const { done } = this.taker; this.taker = null; return done({ done: false, value: event }); }
    this.queue.push(event);
    if (this.queue.length < MOST_WAITING) return;
    this.full = true; // what is queued is taken first; then the log on the node's disk goes on from there
    this.socket?.close();
  }

  private async open(): Promise<void> {
    const { token, client, subscribe, consumer } = this.options, resume = this.reached ?? undefined;
    const at = new URL(this.url);
    at.searchParams.set("hello", "1");
    const socket = new WebSocket(at, token ? ["gossamer.v1.json", token] : ["gossamer.v1.json"]);
    this.socket = socket;
    await new Promise<void>((done, fail) => {
      const timer = setTimeout(() => { socket.close(); fail(lost()); }, OPEN_MS);
      socket.onopen = () => socket.send(JSON.stringify({ event: "hello", req: 0, client, subscribe, consumer, resume }));
      socket.onmessage = ({ data }) => {
        const event = JSON.parse(data) as Event;
        if (event.event === "hello") { clearTimeout(timer); this.enter(event); done(); }
        else if (event.event === "error" && event.req === 0 && event.code !== "resync_required") { clearTimeout(timer); fail(refusal(event)); }
        else this.settle(event);
      };
      const gone = (code: number) => {
        clearTimeout(timer);
        fail(FINAL[code] ? new Refused(FINAL[code], "the node does not accept this token") : lost());
        this.left(socket, code);
      };
      socket.onclose = ({ code }) => gone(code);
      socket.onerror = () => { if (socket.readyState !== WebSocket.OPEN) gone(1006); }; // not every engine closes what never opened
    });
  }

  private enter(hello: Event): void {
    this.hello = hello as unknown as Gossamer["hello"];
    if (hello.log_epoch) {
      const start = { epoch: hello.log_epoch, seq: hello.seq! };
      this.position ??= start;
      this.reached ??= start;
    }
    if (this.ready) return; // the vault was opened: another hello on the same connection
    this.ready = true;
    this.pause = FIRST_PAUSE_MS;
    this.options.onstate?.("open");
    for (const call of this.waiting.values()) this.socket!.send(call.frame);
  }

  private settle(event: Event): void {
    const call = (event.event === "ok" || event.event === "error") && this.waiting.get(event.req);
    if (!call) return this.give(event);
    this.waiting.delete(event.req);
    const { event: kind, req, ...answer } = event;
    kind === "ok" ? call.done(answer) : call.fail(refusal(event));
  }

  private left(socket: WebSocket, code: number): void {
    if (this.socket !== socket) return;
    const entered = this.hello.user_id !== "", was = this.ready;
    this.socket = null;
    this.ready = false;
    for (const [req, call] of this.waiting) if (!call.again) { this.waiting.delete(req); call.fail(lost()); }
    if (FINAL[code]) return this.end(new Refused(FINAL[code]!, "the token was revoked, or the origin taken off the list"));
    if (this.over || !entered) return;
    if (was) this.options.onstate?.("lost");
    if (!this.full) this.retry(this.pause);
  }

  private retry(after: number): void {
    this.pause = Math.min(this.pause * 2, LAST_PAUSE_MS);
    setTimeout(() => { if (!this.over && !this.socket) this.open().catch(fault => { if (!fault.retryable) this.end(fault); }); }, after * (0.5 + Math.random() / 2));
  }

  private end(fault: Refused): void {
    this.over ??= fault;
    for (const call of this.waiting.values()) call.fail(this.over);
    this.waiting.clear();
    const taker = this.taker;
    this.taker = null;
    if (this.over.code === "closed") taker?.done({ done: true, value: undefined }); else taker?.fail(this.over);
  }
}

function moved(position: Position | null, event: Event): Position | null {
  if (event.event === "error" && event.code === "resync_required") return { epoch: event.log_epoch, seq: event.seq! };
  const ahead = event.event !== "hello" && position !== null && (event.seq ?? 0) > position.seq;
  return ahead ? { ...position, seq: event.seq! } : position;
}

function lost(): Refused { return new Refused("connection_lost", "the connection to the node was lost", true); }

function refusal(event: Event): Refused {
  const { event: _, req: __, code, message, retryable, ...details } = event;
  return new Refused(code, message, Boolean(retryable), details);
}
