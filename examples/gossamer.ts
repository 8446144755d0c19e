// The bridge of a Gossamer node for browsers and Node.js 22+: one file, no dependency, typed, resumes by itself.
//
//   const node = await Gossamer.connect("ws://127.0.0.1:7117", { token });
//   const { room } = await node.call("room_create", { name: "tea" });
//   for await (const event of node.events())
//     if (event.event === "user_message" && !event.self) console.log(event.username, event.message);
//
// Commands, events and codes are those of docs/bridge.md. What peers wrote is text: show it as textContent.

/** An event as it may come: of this vocabulary, or of a later version's. */
type Raw = { event: string; seq?: number; req?: number; [key: string]: any };
type Keys<C extends keyof Commands> = Omit<Commands[C]["command"], "event" | "req">;
type Needed<C extends keyof Commands> = {} extends Keys<C> ? [keys?: Keys<C>, timeout?: number] : [keys: Keys<C>, timeout?: number];

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
type Taker = { done: (next: IteratorResult<Raw>) => void; fail: (fault: Refused) => void };

const MOST_WAITING = 10_000; // events that nobody has taken; above, the socket is closed and resumed when they are
const OPEN_MS = 10_000, CALL_MS = 60_000, FIRST_PAUSE_MS = 250, LAST_PAUSE_MS = 15_000;
const FINAL: Record<number, string> = { 4401: "unauthorized", 4403: "origin_not_allowed", 4408: "unauthorized" };

export class Gossamer {
  /** What the node said of itself; empty before it did. */
  hello: HelloEvent | null = null;
  /** Everything up to here was handed out by `events`: what to `resume` at in another run. */
  position: Position | null;

  private socket: WebSocket | null = null;
  private ready = false;
  private reached: Position | null; // what came, taken or not: where a new connection resumes
  private asked = 0;
  private pause = FIRST_PAUSE_MS;
  private readonly waiting = new Map<number, Waiting>();
  private readonly queue: Raw[] = [];
  private taker: Taker | null = null;
  private full = false;
  private over: Refused | null = null;

  private constructor(private readonly url: string, private readonly options: Options) {
    this.position = this.reached = options.resume ?? null;
  }

  /** Connect to `ws://HOST:PORT`; rejects with Refused if the node does not answer or refuses. */
  static async connect(url: string, options: Options = {}): Promise<Gossamer> {
    const node = new Gossamer(url, options);
    await node.open();
    return node;
  }

  /** Send one command and return what its `ok` carries.
   *  With a `nonce` it is sent again when the connection was lost meanwhile, and done once all the same. */
  call<C extends keyof Commands>(command: C, ...[keys, timeout = CALL_MS]: Needed<C>): Promise<Commands[C]["answer"]> {
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
  async *events(): AsyncGenerator<GossamerEvent, void, undefined> {
    for (;;) {
      const next = await this.take();
      if (next.done) return;
      this.position = moved(this.position, next.value);
      yield next.value as unknown as GossamerEvent;
    }
  }

  close(): void {
    this.end(new Refused("closed", "the connection was closed"));
    this.socket?.close();
  }

  private take(): Promise<IteratorResult<Raw>> {
    const event = this.queue.shift();
    if (event) return Promise.resolve({ done: false, value: event });
    if (this.over) return this.over.code === "closed" ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(this.over);
    if (this.full) { this.full = false; this.retry(0); }
    return new Promise((done, fail) => { this.taker = { done, fail }; });
  }

  private give(event: Raw): void {
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
        const event = JSON.parse(data) as Raw;
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

  private enter(hello: Raw): void {
    this.hello = hello as unknown as HelloEvent;
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

  private settle(event: Raw): void {
    const call = (event.event === "ok" || event.event === "error") && this.waiting.get(event.req ?? -1);
    if (!call) return this.give(event);
    this.waiting.delete(event.req ?? -1);
    const { event: kind, req, ...answer } = event;
    kind === "ok" ? call.done(answer) : call.fail(refusal(event));
  }

  private left(socket: WebSocket, code: number): void {
    if (this.socket !== socket) return;
    const entered = this.hello !== null, was = this.ready;
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

function moved(position: Position | null, event: Raw): Position | null {
  if (event.event === "error" && event.code === "resync_required") return { epoch: event.log_epoch, seq: event.seq! };
  const ahead = event.event !== "hello" && position !== null && (event.seq ?? 0) > position.seq;
  return ahead ? { ...position, seq: event.seq! } : position;
}

function lost(): Refused { return new Refused("connection_lost", "the connection to the node was lost", true); }

function refusal(event: Raw): Refused {
  const { event: _, req: __, code, message, retryable, ...details } = event;
  return new Refused(code, message, Boolean(retryable), details);
}

// <types> written by `make schema`; do not edit
// Types of the native bridge, gossamer/1.

/** The answer to `hello`, and where live events start: after `seq`. */
export interface HelloEvent {
  event: "hello";
  req?: string | number;
  protocol: string;
  node_version: string;
  user_id: string;
  username: string;
  log_epoch: string;
  seq: number;
  features: string[];
  deprecated: string[];
  connectivity: string;
}

/** A command is done (and committed); `fields` stand beside `req` on the wire. */
export interface OkEvent {
  event: "ok";
  req?: string | number;
  [key: string]: unknown;
}

/** A command or a frame was refused; `extra` stands beside the other keys on the wire. */
export interface ErrorEvent {
  event: "error";
  code: string;
  message: string;
  field?: string;
  retryable?: boolean;
  retry_after?: number;
  req?: string | number;
  [key: string]: unknown;
}

/** Something the owner should know, with a stable code; `offset_s` is that of `clock_skew`. */
export interface WarningEvent {
  event: "warning";
  code: string;
  message: string;
  offset_s?: number;
}

/** Everything up to `seq` that was asked for has been sent. */
export interface CaughtUpEvent {
  event: "caught_up";
  seq: number;
}

/** A frontend reads too slowly: the socket closes, resume at `resume_from`. */
export interface LaggedEvent {
  event: "lagged";
  resume_from: number;
}

/** Somebody is in a room now (reason `join`), or back (`reconnect`). */
export interface UserJoinEvent {
  event: "user_join";
  username: string;
  room: string;
  user_id: string;
  reason: string;
  seq?: number;
}

/** Somebody is no longer in a room (reason `leave`, `removed`), or away (`disconnect`). */
export interface UserLeaveEvent {
  event: "user_leave";
  username: string;
  room: string;
  user_id: string;
  reason: string;
  seq?: number;
}

/** There is a new room that we are in. */
export interface RoomCreatedEvent {
  event: "room_created";
  room: string;
  name: string;
  visibility?: string;
  seq?: number;
}

/** A room's name, topic, who may invite (`invite`), its `history`, or somebody's `role` changed. Or what the owner has read of it, or whether it is muted. Beside `room` and its `name` only what changed is there. */
export interface RoomUpdatedEvent {
  event: "room_updated";
  room: string;
  name?: string;
  topic?: string;
  invite?: string;
  history?: string;
  user_id?: string;
  username?: string;
  role?: string;
  unread?: number;
  read_to?: string | null;
  muted?: boolean;
  muted_until?: number | null;
  seq?: number;
}

/** A room was ended for everybody: nobody sends any more, what was said stays readable. */
export interface RoomDeletedEvent {
  event: "room_deleted";
  room: string;
  name?: string;
  seq?: number;
}

/** An open room that we are not in has come onto the network's list, or is called otherwise there now. With `listed` false it is no longer there. Not logged: `room_list` has the whole list. */
export interface RoomListedEvent {
  event: "room_listed";
  room: string;
  name: string;
  members: number;
  listed: boolean;
}

/** A message; `timestamp` is UNIX seconds, `gap` says that something before it is missing. Of kind `unreadable`, and empty, it stands for `missing` messages that cannot be opened; `why` says why. `nonce` is that of the command which sent it from this node: how a frontend knows its own words again. `history` is there, and true, for what was said before we came in: nothing to notify anybody of. `mentioned`: it mentions the owner. `ttl`: it is gone so many seconds after it was sent, at `expires_ms`. `remote`: it is the address of a picture. `deleted`: its words were erased, by whomever. */
export interface UserMessageEvent {
  event: "user_message";
  username: string;
  timestamp: number;
  message: string;
  room: string;
  id: string;
  user_id: string;
  kind?: string;
  attachment?: unknown;
  reply_to?: string | null;
  nonce?: string | null;
  self?: boolean;
  ts_ms: number;
  gap?: boolean;
  history?: boolean;
  why?: string;
  missing?: number;
  mentions?: Mention[];
  mentioned?: boolean;
  ttl?: number;
  expires_ms?: number;
  remote?: boolean;
  edited?: boolean;
  edited_ms?: number;
  deleted?: boolean;
  reactions?: Reacted[];
  seq?: number;
}

/** Somebody whom a message mentions; without `username` nobody whom this node knows. */
export interface Mention {
  user_id: string;
  username?: string;
}

/** How many react to a message with an emoji; `users` are the first of them, `self`: the owner does. */
export interface Reacted {
  emoji: string;
  count: number;
  users?: Mention[];
  self?: boolean;
}

/** What `placeholder` stood for came after all; `missing` says for how many it still stands, 0: it goes. The other keys are those of the `user_message` that belongs there; without `id` none does. */
export interface MessageHealedEvent {
  event: "message_healed";
  room: string;
  placeholder: string;
  missing: number;
  username?: string;
  timestamp?: number;
  message?: string;
  id?: string;
  user_id?: string;
  kind?: string;
  attachment?: unknown;
  reply_to?: string | null;
  nonce?: string | null;
  self?: boolean;
  ts_ms?: number;
  gap?: boolean;
  mentions?: Mention[];
  mentioned?: boolean;
  ttl?: number;
  expires_ms?: number;
  remote?: boolean;
  edited?: boolean;
  edited_ms?: number;
  deleted?: boolean;
  reactions?: Reacted[];
  seq?: number;
}

/** The words of a message are others now; only its author changes them. */
export interface MessageEditedEvent {
  event: "message_edited";
  room: string;
  id: string;
  username: string;
  user_id: string;
  message: string;
  edited_ms: number;
  mentions?: Mention[];
  mentioned?: boolean;
  self?: boolean;
  seq?: number;
}

/** The words of a message are gone: `deleted` by its author, `moderated` by an admin, or `expired`. `username` and `user_id` are whose deed it was, `self` the owner's; nobody's where it has expired. */
export interface MessageDeletedEvent {
  event: "message_deleted";
  room: string;
  id: string;
  reason: "deleted" | "expired" | "moderated";
  username?: string;
  user_id?: string;
  self?: boolean;
  seq?: number;
}

/** Somebody reacts to a message with an emoji (`on`), or does no more. */
export interface ReactionEvent {
  event: "reaction";
  room: string;
  id: string;
  username: string;
  user_id: string;
  emoji: string;
  on: boolean;
  ts_ms: number;
  self?: boolean;
  seq?: number;
}

/** Where an own message is, and all that we said before it in this room. Queued, sent, held, delivered, read or failed; `by` and `user_id`: for whom, `why`: for `failed` alone. */
export interface MessageStatusEvent {
  event: "message_status";
  id: string;
  status: "delivered" | "failed" | "held" | "queued" | "read" | "sent";
  by?: string;
  why?: string;
  room?: string;
  user_id?: string;
  seq?: number;
}

/** Somebody types in a room, or has stopped. */
export interface TypingEvent {
  event: "typing";
  username: string;
  room: string;
  user_id: string;
  typing: boolean;
}

/** An attachment is on its way, here, or will not come; `received` of `size` bytes. Not logged. */
export interface AttachmentEvent {
  event: "attachment";
  id: string;
  room: string;
  name: string;
  state: "failed" | "pending" | "progress" | "ready";
  received: number;
  size: number;
  why?: string;
  url?: string | null;
}

/** Somebody invites us; `expires_at` is the end of the 120 seconds. */
export interface UserInviteEvent {
  event: "user_invite";
  sender: string;
  room: string;
  invite: string;
  target: string;
  room_name: string;
  kind: string;
  options?: Record<string, unknown> | null;
  expires_at: number;
  seq?: number;
}

/** What became of an invite: `delivered` (with `expires_at`), or how it ended. `client_id` is what the inviter's frontend gave; `game_id` that of the game that was accepted; `why` is `busy` where a game was cancelled because one of the two plays already. */
export interface InviteResultEvent {
  event: "invite_result";
  invite: string;
  room: string;
  target: string;
  response: string;
  kind?: string;
  expires_at?: number;
  client_id?: string;
  game_id?: string;
  why?: string;
  seq?: number;
}

/** Somebody is a contact now. */
export interface ContactAddedEvent {
  event: "contact_added";
  username: string;
  user_id: string;
  seq?: number;
}

/** Somebody asks to be a contact. */
export interface ContactRequestedEvent {
  event: "contact_requested";
  username: string;
  user_id: string;
  message?: string;
  seq?: number;
}

/** Somebody asks to be a contact no more. */
export interface ContactRequestCancelledEvent {
  event: "contact_request_cancelled";
  username: string;
  user_id: string;
  seq?: number;
}

/** Somebody whom we asked does not want to be a contact. */
export interface ContactRejectedEvent {
  event: "contact_rejected";
  username: string;
  user_id: string;
  seq?: number;
}

/** Somebody is no contact any more: they, or we, ended it. */
export interface ContactRemovedEvent {
  event: "contact_removed";
  username: string;
  user_id: string;
  seq?: number;
}

/** A contact is called otherwise on this node, or their state changed; if so, it is what they are now. */
export interface ContactUpdatedEvent {
  event: "contact_updated";
  username: string;
  user_id: string;
  state?: string;
  blocked?: boolean;
  blocked_by?: boolean;
  seq?: number;
}

/** A person's keys are not the ones this node knew. */
export interface KeyChangedEvent {
  event: "key_changed";
  username: string;
  user_id: string;
  seq?: number;
}

/** What a person shows of themselves changed. */
export interface ProfileEvent {
  event: "profile";
  username: string;
  user_id: string;
  nickname?: string | null;
  avatar?: string | null;
  status?: string | null;
  seq?: number;
}

/** Somebody is online, away or offline now; `presence` and `state` are the same, `busy`: no games now. */
export interface PresenceEvent {
  event: "presence";
  username: string;
  user_id: string;
  presence: "away" | "offline" | "online";
  state?: "away" | "offline" | "online";
  status?: string | null;
  busy?: boolean;
}

/** Something to look at; the same `id` again says that it was read, or that its cause is `withdrawn`. `unread` counts all that are unread after it. */
export interface NotificationEvent {
  event: "notification";
  id: string;
  kind: "announcement" | "contact" | "invite" | "mention" | "tournament";
  data: Record<string, unknown>;
  date: number;
  is_read: boolean;
  withdrawn?: boolean;
  unread?: number;
  seq?: number;
}

/** All notifications up to here are read: `count` of them were not before. */
export interface NotificationsReadEvent {
  event: "notifications_read";
  count: number;
  unread: number;
  seq?: number;
}

/** Somebody announces something, in a room or to all contacts (`room` is then null). */
export interface AnnouncementEvent {
  event: "announcement";
  id: string;
  room: string | null;
  username: string;
  user_id: string;
  kind: "notice" | "tournament";
  text: string;
  data: Record<string, unknown>;
  timestamp: number;
  ts_ms: number;
  self?: boolean;
  seq?: number;
}

/** A link to another node stands; `peer` is its node key in hex. */
export interface PeerUpEvent {
  event: "peer_up";
  peer: string;
  address: string;
  direction: "in" | "out";
}

/** A link to another node is gone. */
export interface PeerDownEvent {
  event: "peer_down";
  peer: string;
  address?: string;
  reason: string;
}

/** How this node stands in the mesh; `locked`: it does not, until the vault is opened. */
export interface ConnectivityEvent {
  event: "connectivity";
  state: "alone" | "connecting" | "locked" | "meshed" | "synced";
}

/** Open a session: credential, subscription, and where to go on. */
export interface HelloCommand {
  event: "hello";
  req?: string | number | null;
  nonce?: string | null;
  token?: string | null;
  client?: string | null;
  subscribe?: Subscribe | null;
  resume?: ResumeAt | null;
  consumer?: string | null;
}

/** What a session wants to see; an absent list means everything, an empty one nothing. */
export interface Subscribe {
  events?: string[] | null;
  rooms?: string[] | null;
}

/** Where a session stopped: the log epoch and the last `seq` it has. */
export interface ResumeAt {
  epoch: string;
  seq: number;
}

/** Move the stored cursor of this session's consumer. */
export interface AckCommand {
  event: "ack";
  req?: string | number | null;
  nonce?: string | null;
  seq: number;
}

/** Where the stored cursor of this session's consumer is now. */
export interface Acked {
  seq: number;
}

/** List the named consumers and how far each has come. */
export interface ConsumerListCommand {
  event: "consumer_list";
  req?: string | number | null;
  nonce?: string | null;
}

/** Consumers. */
export interface ConsumerRows {
  consumers: ConsumerRow[];
}

/** One consumer: how many events it is `behind`, and when it was last here, in UNIX seconds. */
export interface ConsumerRow {
  name: string;
  seq: number;
  behind: number;
  last_seen: number;
}

/** Forget a named consumer and its cursor. */
export interface ConsumerRemoveCommand {
  event: "consumer_remove";
  req?: string | number | null;
  nonce?: string | null;
  name: string;
}

/** Which consumer it was. */
export interface ConsumerNamed {
  name: string;
}

/** Do several commands at once, in one commit; `halt_on_error`: none after the first that is refused. */
export interface BatchCommand {
  event: "batch";
  req?: string | number | null;
  nonce?: string | null;
  commands: (Record<string, unknown>)[];
  halt_on_error?: boolean;
}

/** The answer to each command, in order: an `ok` or an `error`, with its `req`. */
export interface Results {
  results: (Record<string, unknown>)[];
}

/** Make a room; `history` is `none`, `all` or how many messages a newcomer may read. */
export interface RoomCreateCommand {
  event: "room_create";
  req?: string | number | null;
  nonce?: string | null;
  name: string;
  visibility?: "open" | "private" | null;
  history?: number | "all" | "none" | null;
  invite?: string | null;
}

/** A room that is new here; `notice`, where it is open, is a sentence for people. */
export interface RoomMade {
  room: string;
  name: string;
  topic: string;
  visibility: "direct" | "open" | "private";
  history: string;
  history_note: string;
  invite: string | null;
  deleted: boolean;
  members: MemberRow[];
  unread: number;
  muted: boolean;
  muted_until: number | null;
  notice?: string;
}

/** One member of a room. */
export interface MemberRow {
  user_id: string;
  username: string;
  role: "admin" | "creator" | "greeter" | "member";
  presence: "away" | "offline" | "online";
  blocked: boolean;
  blocked_by: boolean;
}

/** List the rooms this node is in, and the open rooms of others; the keys ask for some of them only. */
export interface RoomListCommand {
  event: "room_list";
  req?: string | number | null;
  nonce?: string | null;
  visibility?: "direct" | "open" | "private" | null;
  joined?: boolean | null;
}

/** Rooms. */
export interface RoomRows {
  rooms: RoomRow[];
}

/** One room of a list; `members` is their number, `last_ms` when `last_message` was sent. */
export interface RoomRow {
  room: string;
  name: string;
  visibility: "direct" | "open" | "private";
  members: number;
  history: string;
  unread: number;
  muted: boolean;
  muted_until: number | null;
  last_message: unknown;
  last_ms: number | null;
  direct: boolean;
  deleted: boolean;
  joined: boolean;
}

/** Describe one room and its members. */
export interface RoomGetCommand {
  event: "room_get";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
}

/** A room as it is; `history_note` is a sentence for people, `muted_until` null where it is for good. `invite` is `anyone`, `admins`, or null in a direct room; while joining, the id of the invite. */
export interface RoomFacts {
  room: string;
  name: string;
  topic: string;
  visibility: "direct" | "open" | "private";
  history: string;
  history_note: string;
  invite: string | null;
  deleted: boolean;
  members: MemberRow[];
  unread: number;
  muted: boolean;
  muted_until: number | null;
}

/** Make a link to a room, for `uses` people at most; `expires_in` in seconds, a week if left out. */
export interface RoomLinkCreateCommand {
  event: "room_link_create";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  uses?: number | null;
  expires_in?: number | null;
}

/** A link to a room, and the addresses that it carries. */
export interface RoomLink {
  room: string;
  invite: string;
  link: string;
  addresses: string[];
  uses: number | null;
  expires_at: number;
}

/** Join the room that a link leads to. */
export interface RoomLinkUseCommand {
  event: "room_link_use";
  req?: string | number | null;
  nonce?: string | null;
  link: string;
}

/** The room that a link leads to. */
export interface RoomLinkUsed {
  room: string;
  invite: string;
  state: "joined" | "joining";
}

/** Close a room's link, by the `invite` it was made as; without one, all that one may close. */
export interface RoomLinkRevokeCommand {
  event: "room_link_revoke";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  invite?: string | null;
}

/** The ids of the links that were closed. */
export interface RoomLinksClosed {
  room: string;
  revoked: string[];
}

/** Accept the open invite to a room, or enter an open one, by its id, name or first 8 characters. */
export interface UserJoinCommand {
  event: "user_join";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
}

/** A room that we are in, or are about to come into by the `invite` that was accepted. */
export interface RoomJoined {
  room: string;
  name: string;
  topic: string;
  visibility: "direct" | "open" | "private";
  history: string;
  history_note: string;
  invite: string | null;
  deleted: boolean;
  members: MemberRow[];
  unread: number;
  muted: boolean;
  muted_until: number | null;
  notice?: string;
  state: "joined" | "joining";
}

/** Leave a room. */
export interface UserLeaveCommand {
  event: "user_leave";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
}

/** Which room it was. */
export interface RoomNamed {
  room: string;
}

/** Remove somebody from a room. */
export interface MemberRemoveCommand {
  event: "member_remove";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  username: string;
  reason?: string | null;
}

/** Who was removed. */
export interface MemberGone {
  room: string;
  username: string;
}

/** Give somebody another role in a room; there is one creator, and it stays. */
export interface MemberRoleCommand {
  event: "member_role";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  username: string;
  role: "admin" | "greeter" | "member";
}

/** Who has which role now. */
export interface MemberRoleGiven {
  room: string;
  username: string;
  role: "admin" | "greeter" | "member";
}

/** Change a room's name, topic, who may invite or `history`; an absent key stays as it is. */
export interface RoomUpdateCommand {
  event: "room_update";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  name?: string | null;
  topic?: string | null;
  invite?: string | null;
  history?: number | "all" | "none" | null;
}

/** What can be changed of a room, as it is now. */
export interface RoomChanged {
  room: string;
  name: string;
  topic: string;
  invite: "admins" | "anyone" | null;
  history: string;
}

/** End a room for everybody: nobody sends any more, members keep what they have. */
export interface RoomDeleteCommand {
  event: "room_delete";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
}

/** Renew a room's keys now. */
export interface RoomRekeyCommand {
  event: "room_rekey";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
}

/** The new keys' id, 32 hexadecimal digits. */
export interface RoomRekeyed {
  room: string;
  epoch: string;
}

/** Open the direct room with somebody. */
export interface DmOpenCommand {
  event: "dm_open";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
}

/** Send a message, at most 16 KiB of UTF-8. */
export interface UserMessageCommand {
  event: "user_message";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  message: string;
  kind?: string | null;
  attachment?: unknown;
  reply_to?: string | null;
  ttl?: number | null;
  mentions?: string[] | null;
}

/** The message's id, its time in UNIX milliseconds, and whether it could leave. */
export interface MessageSent {
  id: string;
  ts_ms: number;
  status: "queued" | "sent";
}

/** Say something else in an own message. */
export interface MessageEditCommand {
  event: "message_edit";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  id: string;
  message: string;
  mentions?: string[] | null;
}

/** The message, and when its words were changed last, in UNIX milliseconds. */
export interface MessageChanged {
  room: string;
  id: string;
  edited_ms: number;
}

/** Erase the words of a message: an own one, or, for admins, anybody's. */
export interface MessageDeleteCommand {
  event: "message_delete";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  id: string;
}

/** The message. */
export interface MessageGone {
  room: string;
  id: string;
}

/** React to a message with an emoji, or do so no more. */
export interface ReactionSetCommand {
  event: "reaction_set";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  id: string;
  emoji: string;
  on?: boolean;
}

/** The reaction as it is now. */
export interface ReactionTold {
  room: string;
  id: string;
  emoji: string;
  on: boolean;
}

/** Read messages of a room, oldest first: the newest `limit` before, or the first after, a message id. `skip` passes over so many first; with `count`, it is told how many there are in all. */
export interface HistoryGetCommand {
  event: "history_get";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  before?: string | null;
  after?: string | null;
  limit?: number | null;
  skip?: number | null;
  count?: boolean | null;
}

/** The same, and with `count`, if it was asked for, how many the room has in all. */
export interface HistoryPage {
  messages: UserMessageEvent[];
  more: boolean;
  count?: number;
}

/** Find messages that hold a text, the newest first; neither case nor accents count. */
export interface SearchCommand {
  event: "search";
  req?: string | number | null;
  nonce?: string | null;
  text: string;
  room?: string | null;
  before?: string | null;
  limit?: number | null;
}

/** Messages, oldest first (of a search: newest first), and whether there are more. */
export interface MessagePage {
  messages: UserMessageEvent[];
  more: boolean;
}

/** Tell a conversation that we type, or have stopped; it ends by itself after 6 s. */
export interface TypingSetCommand {
  event: "typing_set";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  typing?: boolean;
}

/** Whether anything was sent. */
export interface TypingTold {
  room: string;
  told: boolean;
}

/** Mark a room as read, up to message `id` or whole. */
export interface RoomReadCommand {
  event: "room_read";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  id?: string | null;
}

/** How many messages of the room are still unread. */
export interface RoomReadUpto {
  room: string;
  unread: number;
}

/** Mark a room as read up to one message. */
export interface MessageReadCommand {
  event: "message_read";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  id: string;
}

/** The message up to which was read, and how many messages of the room are still unread. */
export interface ReadTo {
  room: string;
  id: string;
  unread: number;
}

/** Say of everybody an own message went to whether they have it, and why not; `room` saves a search. */
export interface MessageWhyCommand {
  event: "message_why";
  req?: string | number | null;
  nonce?: string | null;
  id: string;
  room?: string | null;
}

/** Everybody whom a message went to. */
export interface Recipients {
  id: string;
  recipients: RecipientRow[];
}

/** How far a message is with one recipient, why not further, and since when in UNIX seconds. */
export interface RecipientRow {
  user_id: string;
  username: string;
  status: "delivered" | "failed" | "held" | "queued" | "read" | "sent";
  why: string;
  since: number;
}

/** Say how far own messages have come in a room, with everybody, as positions in the event log. */
export interface LedgerGetCommand {
  event: "ledger_get";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
}

/** Up to which `seq` our messages in a room are held for others, and how far everybody is. `read_seq`: up to where the owner has read what others said; of that, `unread` messages are left. */
export interface Ledger {
  room: string;
  held: number;
  recipients: LedgerRow[];
  read_seq: number;
  unread: number;
}

/** Up to which `seq` our messages have come to somebody, and were read; 0: none. */
export interface LedgerRow {
  user_id: string;
  username: string;
  delivered: number;
  read: number;
}

/** Mute a room, for good or `until` then (UNIX seconds), or with `muted` false no longer. */
export interface RoomMuteCommand {
  event: "room_mute";
  req?: string | number | null;
  nonce?: string | null;
  room: string;
  until?: number | null;
  muted?: boolean | null;
}

/** Whether the room is muted, and until when in UNIX seconds: null is for good. */
export interface RoomMuted {
  room: string;
  muted: boolean;
  muted_until: number | null;
}

/** Say which receipts this node sends. */
export interface ReceiptsGetCommand {
  event: "receipts_get";
  req?: string | number | null;
  nonce?: string | null;
}

/** Whether others learn what was read, and whether more than contacts get receipts. */
export interface Receipting {
  read: boolean;
  strangers: boolean;
}

/** Choose which receipts this node sends; what is left out stays as it is. */
export interface ReceiptsSetCommand {
  event: "receipts_set";
  req?: string | number | null;
  nonce?: string | null;
  read?: boolean | null;
  strangers?: boolean | null;
}

/** Store a small file, `data` in base64, to be named in a message. */
export interface AttachmentPutCommand {
  event: "attachment_put";
  req?: string | number | null;
  nonce?: string | null;
  data: string;
  name: string;
  type?: string | null;
}

/** The id that `user_message` takes, and what is told of the content; `hash` in hexadecimal digits. */
export interface AttachmentStored {
  attachment: string;
  name: string;
  type: string;
  size: number;
  hash: string;
}

/** Describe an attachment; a small one comes along. */
export interface AttachmentGetCommand {
  event: "attachment_get";
  req?: string | number | null;
  nonce?: string | null;
  id: string;
}

/** What is known of an attachment; `data` is its content in base64, if it is here and small. `received` bytes of its `size` are here. */
export interface AttachmentFacts {
  id: string;
  name: string;
  type: string;
  size: number;
  state: "failed" | "pending" | "ready";
  received: number;
  hash: string;
  url?: string | null;
  data?: string;
}

/** Invite a contact or co-member to a room; the offer has `expires_in` seconds to reach somebody. */
export interface UserInviteCommand {
  event: "user_invite";
  req?: string | number | null;
  nonce?: string | null;
  target: string;
  room: string;
  kind?: "game" | "room" | null;
  options?: Record<string, unknown> | null;
  client_id?: string | null;
  expires_in?: number | null;
}

/** An offer, and when it ends: in 7 days, or 120 seconds after it is shown. */
export interface InviteMade {
  invite: string;
  expires_at: number;
}

/** Answer an invite; without `invite` the latest open one delivered on this connection. */
export interface UserInviteResponseCommand {
  event: "user_invite_response";
  req?: string | number | null;
  nonce?: string | null;
  response: "accept" | "decline" | "ignore";
  invite?: string | null;
}

/** What became of an invite; `room` where one was accepted, `game_id` where it was to a game. */
export interface InviteAnswered {
  invite: string;
  state: "accepted" | "declined" | "joined" | "joining" | "open";
  room?: string;
  game_id?: string;
}

/** Take an own invite back. */
export interface InviteCancelCommand {
  event: "invite_cancel";
  req?: string | number | null;
  nonce?: string | null;
  invite: string;
}

/** Which invite it was. */
export interface InviteNamed {
  invite: string;
}

/** List invites sent and received. */
export interface InviteListCommand {
  event: "invite_list";
  req?: string | number | null;
  nonce?: string | null;
}

/** Invites. */
export interface InviteRows {
  invites: InviteRow[];
}

/** One invite, sent or received. */
export interface InviteRow {
  invite: string;
  room: string;
  room_name: string;
  sender: string;
  target: string;
  kind: string;
  state: string;
  expires_at: number;
  client_id: string | null;
  game_id: string | null;
}

/** Add the person whose contact link this is. */
export interface ContactAddCommand {
  event: "contact_add";
  req?: string | number | null;
  nonce?: string | null;
  link: string;
}

/** Whose link it was; their name follows as `contact_added`. */
export interface ContactAsked {
  user_id: string;
  state: "contact" | "incoming" | "none" | "pending" | "requested";
}

/** List contacts. */
export interface ContactListCommand {
  event: "contact_list";
  req?: string | number | null;
  nonce?: string | null;
}

/** Contacts. */
export interface ContactRows {
  contacts: ContactRow[];
}

/** One contact, or somebody who asks, was asked or is blocked; `message` is that of their request. */
export interface ContactRow {
  user_id: string;
  username: string;
  nickname: string | null;
  state: "contact" | "incoming" | "none" | "pending" | "requested";
  verified: "changed" | "unverified" | "verified";
  blocked: boolean;
  blocked_by: boolean;
  message: string;
  presence: "away" | "offline" | "online";
  status: string | null;
  busy: boolean;
}

/** Ask a co-member, or somebody found, to be a contact; `message` at most 256 bytes of UTF-8. */
export interface ContactRequestCommand {
  event: "contact_request";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
  message?: string | null;
}

/** How somebody stands to us now. */
export interface ContactStands {
  user_id: string;
  username: string;
  state: "contact" | "incoming" | "none" | "pending" | "requested";
}

/** Be a contact of somebody who asks. */
export interface ContactAcceptCommand {
  event: "contact_accept";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
}

/** Do not be a contact of somebody who asks. */
export interface ContactRejectCommand {
  event: "contact_reject";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
}

/** Take an own request back. */
export interface ContactCancelCommand {
  event: "contact_cancel";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
}

/** Be no contact of somebody any more. */
export interface ContactRemoveCommand {
  event: "contact_remove";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
}

/** Hear nothing of a person any more; `silent`: without telling their node. */
export interface ContactBlockCommand {
  event: "contact_block";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
  silent?: boolean | null;
}

/** The same, and who blocks whom. */
export interface ContactShut {
  user_id: string;
  username: string;
  state: "contact" | "incoming" | "none" | "pending" | "requested";
  blocked: boolean;
  blocked_by: boolean;
}

/** Hear a person again. */
export interface ContactUnblockCommand {
  event: "contact_unblock";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
}

/** Give a person another username on this node. */
export interface ContactRenameCommand {
  event: "contact_rename";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
  name: string;
}

/** What a person is called on this node now. */
export interface ContactNamed {
  user_id: string;
  username: string;
}

/** Show the safety number of a person; `verified` or the `code` of their screen marks them. */
export interface ContactVerifyCommand {
  event: "contact_verify";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
  verified?: boolean | null;
  code?: string | null;
}

/** The same, with the safety number that both ends show, and the code for a QR code. */
export interface ContactNumber {
  user_id: string;
  username: string;
  verified: "changed" | "unverified" | "verified";
  policy: "strict" | "tofu" | "warn";
  number: string;
  code: string;
}

/** Say what another device of a person does: taken silently, taken and told, or kept back. */
export interface ContactPolicyCommand {
  event: "contact_policy";
  req?: string | number | null;
  nonce?: string | null;
  username: string;
  policy: "strict" | "tofu" | "warn";
}

/** What is held of a person's keys. */
export interface ContactTrust {
  user_id: string;
  username: string;
  verified: "changed" | "unverified" | "verified";
  policy: "strict" | "tofu" | "warn";
}

/** Make a contact link; `expires_in` in seconds. */
export interface ContactLinkCreateCommand {
  event: "contact_link_create";
  req?: string | number | null;
  nonce?: string | null;
  once?: boolean | null;
  expires_in?: number | null;
}

/** A contact link, and the addresses that it carries. */
export interface ContactLink {
  link: string;
  addresses: string[];
  once: boolean;
}

/** Close every contact link given out so far, and make another. */
export interface ContactLinkResetCommand {
  event: "contact_link_reset";
  req?: string | number | null;
  nonce?: string | null;
}

/** A contact link, and how many that were given out before are closed now. */
export interface ContactLinkAgain {
  link: string;
  addresses: string[];
  once: boolean;
  revoked: number;
}

/** Describe a person, or oneself. */
export interface ProfileGetCommand {
  event: "profile_get";
  req?: string | number | null;
  nonce?: string | null;
  username?: string | null;
}

/** What a person shows; `link` is one's own, and not for the scope `read`; `room`: the direct one, if any. `state` is how they stand to us, `none` of oneself. */
export interface ProfileFacts {
  user_id: string;
  username: string;
  nickname: string | null;
  avatar: string | null;
  status: string | null;
  presence: "away" | "offline" | "online";
  busy: boolean;
  listed: boolean;
  blocked: boolean;
  blocked_by: boolean;
  room: string | null;
  state: "contact" | "incoming" | "none" | "pending" | "requested";
  link?: string | null;
}

/** Change what one is called and shows; an absent key stays as it is. */
export interface ProfileSetCommand {
  event: "profile_set";
  req?: string | number | null;
  nonce?: string | null;
  name?: string | null;
  avatar?: string | null;
  status?: string | null;
  listed?: boolean | null;
}

/** Say how to be seen: `online` is as it is, `offline` is invisible; an absent key stays as it is. `offline` with `leaving` is a logout: it lasts until a frontend comes or asks for something. */
export interface PresenceSetCommand {
  event: "presence_set";
  req?: string | number | null;
  nonce?: string | null;
  state?: "away" | "offline" | "online" | null;
  status?: string | null;
  busy?: boolean | null;
  leaving?: boolean | null;
}

/** How we are seen now. */
export interface PresenceFacts {
  state: "away" | "offline" | "online";
  status: string | null;
  busy: boolean;
}

/** Look at once who has been silent for too long, and how we are seen, and tell it. */
export interface PresenceSweepCommand {
  event: "presence_sweep";
  req?: string | number | null;
  nonce?: string | null;
}

/** How we are seen now, and who was found to be gone. */
export interface PresenceSwept {
  state: "away" | "offline" | "online";
  gone: string[];
}

/** Look for people by the beginning, or a part, of a name; case and accents do not matter. */
export interface UserSearchCommand {
  event: "user_search";
  req?: string | number | null;
  nonce?: string | null;
  text: string;
  limit?: number | null;
}

/** People, those whose name begins with the text first. */
export interface FoundRows {
  users: FoundRow[];
}

/** Somebody who was found. */
export interface FoundRow {
  user_id: string;
  username: string;
  nickname: string | null;
  avatar: string | null;
  status: string | null;
  presence: "away" | "offline" | "online";
  state: "contact" | "incoming" | "none" | "pending" | "requested";
}

/** List notifications, the newest first; `before` goes on after the one with this id. `skip` passes over so many first. */
export interface NotificationListCommand {
  event: "notification_list";
  req?: string | number | null;
  nonce?: string | null;
  limit?: number | null;
  before?: string | null;
  skip?: number | null;
  is_read?: boolean | null;
  kind?: "announcement" | "contact" | "invite" | "mention" | "tournament" | null;
}

/** Notifications, newest first, how many are unread in all, and whether there are more. `count`: how many there are of those that were asked for, on whatever page. */
export interface NoticeRows {
  notifications: NoticeRow[];
  unread: number;
  more: boolean;
  count: number;
}

/** One notification; `date` is in UNIX seconds. */
export interface NoticeRow {
  id: string;
  kind: "announcement" | "contact" | "invite" | "mention" | "tournament";
  data: Record<string, unknown>;
  date: number;
  is_read: boolean;
  withdrawn: boolean;
}

/** Mark one notification as read. */
export interface NotificationReadCommand {
  event: "notification_read";
  req?: string | number | null;
  nonce?: string | null;
  id: string;
}

/** Which notification it was, and how many are unread now. */
export interface NoticeRead {
  id: string;
  unread: number;
}

/** Mark every notification as read. */
export interface NotificationReadAllCommand {
  event: "notification_read_all";
  req?: string | number | null;
  nonce?: string | null;
}

/** How many were unread, and how many are now: none. */
export interface NoticesRead {
  count: number;
  unread: number;
}

/** Announce something in a `room`, or to all `contacts`. */
export interface AnnouncementSendCommand {
  event: "announcement_send";
  req?: string | number | null;
  nonce?: string | null;
  room?: string | null;
  contacts?: boolean | null;
  text: string;
  kind?: "notice" | "tournament" | null;
  data?: Record<string, unknown> | null;
}

/** The announcement's id, its time in UNIX milliseconds, and for how many it is meant. */
export interface Announced {
  id: string;
  ts_ms: number;
  recipients: number;
}

/** Say how the node is. */
export interface NodeStatusCommand {
  event: "node_status";
  req?: string | number | null;
  nonce?: string | null;
}

/** How the node is; of a locked one, most is empty. */
export interface NodeFacts {
  version: string;
  uptime_s: number;
  connectivity: "alone" | "connecting" | "locked" | "meshed" | "synced";
  links: number;
  came_in: number;
  contacts: number;
  rooms: number;
  held_envelopes: number;
  db_bytes: number;
  clients: number;
  username: string;
  user_id: string;
  addresses: string[];
  log_epoch: string;
  seq: number;
  clock_skew_s: number | null;
  held: Held;
  held_quota_bytes: number;
  held_ids: number;
  oldest_held_ms: number | null;
  revoked: boolean;
}

/** The shelves: of channels of ours, brought by nodes that we know, by any other. */
export interface Held {
  own: HeldOnShelf;
  known: HeldOnShelf;
  other: HeldOnShelf;
}

/** What lies on one shelf. */
export interface HeldOnShelf {
  envelopes: number;
  bytes: number;
}

/** Stop the node cleanly. */
export interface NodeStopCommand {
  event: "node_stop";
  req?: string | number | null;
  nonce?: string | null;
}

/** Nothing more. */
export interface Done {
}

/** List peers and addresses. */
export interface PeerListCommand {
  event: "peer_list";
  req?: string | number | null;
  nonce?: string | null;
}

/** Peers. */
export interface PeerRows {
  peers: PeerRow[];
}

/** One link, or an address to which none stands. */
export interface PeerRow {
  peer: string | null;
  address: string | null;
  direction: "in" | "out" | null;
  rtt_ms: number | null;
  age_s: number | null;
  copies: number;
  state: "down" | "live" | "syncing";
  source: "configured" | "contact" | "lan" | "px" | "room" | null;
  known_as: string | null;
  last_error: string | null;
  retry_s: number | null;
}

/** Dial an address from now on: `ws://HOST:PORT` or `wss://HOST:PORT`. */
export interface PeerAddCommand {
  event: "peer_add";
  req?: string | number | null;
  nonce?: string | null;
  address: string;
}

/** Which address it was. */
export interface PeerAddress {
  address: string;
}

/** Dial an address no longer. */
export interface PeerRemoveCommand {
  event: "peer_remove";
  req?: string | number | null;
  nonce?: string | null;
  address: string;
}

/** Make a child token; `expires_in` in seconds. */
export interface TokenCreateCommand {
  event: "token_create";
  req?: string | number | null;
  nonce?: string | null;
  name: string;
  scope: "chat" | "owner" | "read";
  expires_in?: number | null;
}

/** A token, shown this once. */
export interface TokenMade {
  token: string;
  name: string;
  scope: "chat" | "owner" | "read";
  expires_at: number | null;
}

/** List child tokens, without the tokens. */
export interface TokenListCommand {
  event: "token_list";
  req?: string | number | null;
  nonce?: string | null;
}

/** Child tokens. */
export interface TokenRows {
  tokens: TokenRow[];
}

/** One child token, without the token. */
export interface TokenRow {
  name: string;
  scope: "chat" | "owner" | "read";
  created_at: number;
  expires_at: number | null;
}

/** End a child token and the sessions that use it. */
export interface TokenRevokeCommand {
  event: "token_revoke";
  req?: string | number | null;
  nonce?: string | null;
  name: string;
}

/** Which token it was. */
export interface TokenNamed {
  name: string;
}

/** Put another token in the place of a child token, or of the admin token where no name is given. */
export interface TokenRotateCommand {
  event: "token_rotate";
  req?: string | number | null;
  nonce?: string | null;
  name?: string | null;
}

/** A child's new `token`, shown this once; or the `path` of the file that has the new admin token. */
export interface TokenReplaced {
  name: string;
  scope: "chat" | "owner" | "read";
  expires_at: number | null;
  token?: string;
  path?: string;
}

/** Say which frontend did what, newest entries or those before one, oldest first. */
export interface AuditListCommand {
  event: "audit_list";
  req?: string | number | null;
  nonce?: string | null;
  limit?: number | null;
  before?: number | null;
}

/** Entries of the audit log, oldest first, and whether there are older ones. */
export interface AuditPage {
  entries: AuditRow[];
  more: boolean;
}

/** What a frontend did, `count` times up to `ts_ms`; `code` is `ok` or that of the error. */
export interface AuditRow {
  entry: number;
  ts_ms: number;
  who: string | null;
  via: "login" | "token" | "unix" | null;
  client: string | null;
  session: number | null;
  command: string;
  code: string;
  count: number;
}

/** List the web origins that may connect. */
export interface OriginListCommand {
  event: "origin_list";
  req?: string | number | null;
  nonce?: string | null;
}

/** Origins that may connect. */
export interface Origins {
  origins: string[];
}

/** Let pages of an origin connect, given that they have a token. */
export interface OriginAllowCommand {
  event: "origin_allow";
  req?: string | number | null;
  nonce?: string | null;
  origin: string;
}

/** Which origin it was, as browsers write it. */
export interface OriginNamed {
  origin: string;
}

/** Take an origin off the list and close its sessions. */
export interface OriginRemoveCommand {
  event: "origin_remove";
  req?: string | number | null;
  nonce?: string | null;
  origin: string;
}

/** List the dialects of other frontends, which are on, and where they listen. */
export interface DialectListCommand {
  event: "dialect_list";
  req?: string | number | null;
  nonce?: string | null;
}

/** All dialects but the native one, which is always on. */
export interface DialectRows {
  dialects: DialectRow[];
}

/** One dialect and where it is spoken; `why` says what is wrong where `state` is `failed`. */
export interface DialectRow {
  dialect: "001" | "002" | "003" | "004";
  enabled: boolean;
  origins: string[];
  port: number | null;
  rooms: "open" | "private";
  serve: string | null;
  tls: boolean;
  state: "failed" | "listening" | "off" | "on";
  why: string | null;
  address: string | null;
  fingerprint: string | null;
  cron_secret: string | null;
}

/** Let frontends of a dialect in, or change how: what is not given stays; an origin is added. */
export interface DialectEnableCommand {
  event: "dialect_enable";
  req?: string | number | null;
  nonce?: string | null;
  dialect: "001" | "002" | "003" | "004";
  origin?: string | null;
  port?: number | null;
  rooms?: "open" | "private" | null;
  serve?: string | null;
  tls?: boolean | null;
}

/** How a dialect is now. */
export interface DialectFacts {
  dialect: "001" | "002" | "003" | "004";
  enabled: boolean;
  origins: string[];
  port: number | null;
  rooms: "open" | "private";
  serve: string | null;
  tls: boolean;
  state: "failed" | "listening" | "off" | "on";
  why: string | null;
  address: string | null;
  fingerprint: string | null;
  cron_secret: string | null;
}

/** Turn a dialect off, or take one origin from it; sessions that lose their right are closed. */
export interface DialectDisableCommand {
  event: "dialect_disable";
  req?: string | number | null;
  nonce?: string | null;
  dialect: "001" | "002" | "003" | "004";
  origin?: string | null;
}

/** Make a link that logs one browser in, once, within five minutes; with `dialect`, at that one's port. */
export interface LoginLinkCreateCommand {
  event: "login_link_create";
  req?: string | number | null;
  nonce?: string | null;
  dialect?: "001" | "002" | "003" | "004" | null;
}

/** A link that logs one browser in, once. */
export interface LoginLink {
  url: string;
  expires_at: number;
}

/** Write a backup, sealed under `passphrase`, into the home's folder for them. */
export interface BackupCreateCommand {
  event: "backup_create";
  req?: string | number | null;
  nonce?: string | null;
  passphrase: string;
}

/** Where the backup is, its bytes, and what it holds. */
export interface BackupFacts {
  path: string;
  size: number;
  rooms: number;
  contacts: number;
  messages: number;
}

/** Seal the identity under `passphrase`, or under none; `current` is needed where one is in force. */
export interface VaultPassphraseCommand {
  event: "vault_passphrase";
  req?: string | number | null;
  nonce?: string | null;
  passphrase?: string | null;
  current?: string | null;
}

/** Whether the next start needs a passphrase. */
export interface Sealed {
  sealed: boolean;
}

/** Close the vault: keys, store and mesh go, the bridge stays. */
export interface VaultLockCommand {
  event: "vault_lock";
  req?: string | number | null;
  nonce?: string | null;
}

/** Whether the vault is locked. */
export interface VaultState {
  locked: boolean;
}

/** Open the vault again. */
export interface VaultUnlockCommand {
  event: "vault_unlock";
  req?: string | number | null;
  nonce?: string | null;
  passphrase: string;
}

/** Every command: what is sent, what its ok carries. */
export interface Commands {
  hello: { command: HelloCommand; answer: HelloEvent; scope: "read" };
  ack: { command: AckCommand; answer: Acked; scope: "read" };
  consumer_list: { command: ConsumerListCommand; answer: ConsumerRows; scope: "read" };
  consumer_remove: { command: ConsumerRemoveCommand; answer: ConsumerNamed; scope: "owner" };
  batch: { command: BatchCommand; answer: Results; scope: "read" };
  room_create: { command: RoomCreateCommand; answer: RoomMade; scope: "chat" };
  room_list: { command: RoomListCommand; answer: RoomRows; scope: "read" };
  room_get: { command: RoomGetCommand; answer: RoomFacts; scope: "read" };
  room_link_create: { command: RoomLinkCreateCommand; answer: RoomLink; scope: "chat" };
  room_link_use: { command: RoomLinkUseCommand; answer: RoomLinkUsed; scope: "chat" };
  room_link_revoke: { command: RoomLinkRevokeCommand; answer: RoomLinksClosed; scope: "chat" };
  user_join: { command: UserJoinCommand; answer: RoomJoined; scope: "chat" };
  user_leave: { command: UserLeaveCommand; answer: RoomNamed; scope: "chat" };
  member_remove: { command: MemberRemoveCommand; answer: MemberGone; scope: "chat" };
  member_role: { command: MemberRoleCommand; answer: MemberRoleGiven; scope: "chat" };
  room_update: { command: RoomUpdateCommand; answer: RoomChanged; scope: "chat" };
  room_delete: { command: RoomDeleteCommand; answer: RoomNamed; scope: "chat" };
  room_rekey: { command: RoomRekeyCommand; answer: RoomRekeyed; scope: "chat" };
  dm_open: { command: DmOpenCommand; answer: RoomFacts; scope: "chat" };
  user_message: { command: UserMessageCommand; answer: MessageSent; scope: "chat" };
  message_edit: { command: MessageEditCommand; answer: MessageChanged; scope: "chat" };
  message_delete: { command: MessageDeleteCommand; answer: MessageGone; scope: "chat" };
  reaction_set: { command: ReactionSetCommand; answer: ReactionTold; scope: "chat" };
  history_get: { command: HistoryGetCommand; answer: HistoryPage; scope: "read" };
  search: { command: SearchCommand; answer: MessagePage; scope: "read" };
  typing_set: { command: TypingSetCommand; answer: TypingTold; scope: "chat" };
  room_read: { command: RoomReadCommand; answer: RoomReadUpto; scope: "chat" };
  message_read: { command: MessageReadCommand; answer: ReadTo; scope: "chat" };
  message_why: { command: MessageWhyCommand; answer: Recipients; scope: "read" };
  ledger_get: { command: LedgerGetCommand; answer: Ledger; scope: "read" };
  room_mute: { command: RoomMuteCommand; answer: RoomMuted; scope: "chat" };
  receipts_get: { command: ReceiptsGetCommand; answer: Receipting; scope: "read" };
  receipts_set: { command: ReceiptsSetCommand; answer: Receipting; scope: "owner" };
  attachment_put: { command: AttachmentPutCommand; answer: AttachmentStored; scope: "chat" };
  attachment_get: { command: AttachmentGetCommand; answer: AttachmentFacts; scope: "read" };
  user_invite: { command: UserInviteCommand; answer: InviteMade; scope: "chat" };
  user_invite_response: { command: UserInviteResponseCommand; answer: InviteAnswered; scope: "chat" };
  invite_cancel: { command: InviteCancelCommand; answer: InviteNamed; scope: "chat" };
  invite_list: { command: InviteListCommand; answer: InviteRows; scope: "read" };
  contact_add: { command: ContactAddCommand; answer: ContactAsked; scope: "chat" };
  contact_list: { command: ContactListCommand; answer: ContactRows; scope: "read" };
  contact_request: { command: ContactRequestCommand; answer: ContactStands; scope: "chat" };
  contact_accept: { command: ContactAcceptCommand; answer: ContactStands; scope: "chat" };
  contact_reject: { command: ContactRejectCommand; answer: ContactStands; scope: "chat" };
  contact_cancel: { command: ContactCancelCommand; answer: ContactStands; scope: "chat" };
  contact_remove: { command: ContactRemoveCommand; answer: ContactStands; scope: "chat" };
  contact_block: { command: ContactBlockCommand; answer: ContactShut; scope: "chat" };
  contact_unblock: { command: ContactUnblockCommand; answer: ContactShut; scope: "chat" };
  contact_rename: { command: ContactRenameCommand; answer: ContactNamed; scope: "chat" };
  contact_verify: { command: ContactVerifyCommand; answer: ContactNumber; scope: "chat" };
  contact_policy: { command: ContactPolicyCommand; answer: ContactTrust; scope: "chat" };
  contact_link_create: { command: ContactLinkCreateCommand; answer: ContactLink; scope: "chat" };
  contact_link_reset: { command: ContactLinkResetCommand; answer: ContactLinkAgain; scope: "chat" };
  profile_get: { command: ProfileGetCommand; answer: ProfileFacts; scope: "read" };
  profile_set: { command: ProfileSetCommand; answer: ProfileFacts; scope: "chat" };
  presence_set: { command: PresenceSetCommand; answer: PresenceFacts; scope: "chat" };
  presence_sweep: { command: PresenceSweepCommand; answer: PresenceSwept; scope: "chat" };
  user_search: { command: UserSearchCommand; answer: FoundRows; scope: "read" };
  notification_list: { command: NotificationListCommand; answer: NoticeRows; scope: "read" };
  notification_read: { command: NotificationReadCommand; answer: NoticeRead; scope: "chat" };
  notification_read_all: { command: NotificationReadAllCommand; answer: NoticesRead; scope: "chat" };
  announcement_send: { command: AnnouncementSendCommand; answer: Announced; scope: "chat" };
  node_status: { command: NodeStatusCommand; answer: NodeFacts; scope: "read" };
  node_stop: { command: NodeStopCommand; answer: Done; scope: "owner" };
  peer_list: { command: PeerListCommand; answer: PeerRows; scope: "read" };
  peer_add: { command: PeerAddCommand; answer: PeerAddress; scope: "owner" };
  peer_remove: { command: PeerRemoveCommand; answer: PeerAddress; scope: "owner" };
  token_create: { command: TokenCreateCommand; answer: TokenMade; scope: "owner" };
  token_list: { command: TokenListCommand; answer: TokenRows; scope: "read" };
  token_revoke: { command: TokenRevokeCommand; answer: TokenNamed; scope: "owner" };
  token_rotate: { command: TokenRotateCommand; answer: TokenReplaced; scope: "owner" };
  audit_list: { command: AuditListCommand; answer: AuditPage; scope: "owner" };
  origin_list: { command: OriginListCommand; answer: Origins; scope: "read" };
  origin_allow: { command: OriginAllowCommand; answer: OriginNamed; scope: "owner" };
  origin_remove: { command: OriginRemoveCommand; answer: OriginNamed; scope: "owner" };
  dialect_list: { command: DialectListCommand; answer: DialectRows; scope: "read" };
  dialect_enable: { command: DialectEnableCommand; answer: DialectFacts; scope: "owner" };
  dialect_disable: { command: DialectDisableCommand; answer: DialectFacts; scope: "owner" };
  login_link_create: { command: LoginLinkCreateCommand; answer: LoginLink; scope: "owner" };
  backup_create: { command: BackupCreateCommand; answer: BackupFacts; scope: "owner" };
  vault_passphrase: { command: VaultPassphraseCommand; answer: Sealed; scope: "owner" };
  vault_lock: { command: VaultLockCommand; answer: VaultState; scope: "owner" };
  vault_unlock: { command: VaultUnlockCommand; answer: VaultState; scope: "owner" };
}

/** What a frontend sends. */
export type GossamerCommand =
  | HelloCommand
  | AckCommand
  | ConsumerListCommand
  | ConsumerRemoveCommand
  | BatchCommand
  | RoomCreateCommand
  | RoomListCommand
  | RoomGetCommand
  | RoomLinkCreateCommand
  | RoomLinkUseCommand
  | RoomLinkRevokeCommand
  | UserJoinCommand
  | UserLeaveCommand
  | MemberRemoveCommand
  | MemberRoleCommand
  | RoomUpdateCommand
  | RoomDeleteCommand
  | RoomRekeyCommand
  | DmOpenCommand
  | UserMessageCommand
  | MessageEditCommand
  | MessageDeleteCommand
  | ReactionSetCommand
  | HistoryGetCommand
  | SearchCommand
  | TypingSetCommand
  | RoomReadCommand
  | MessageReadCommand
  | MessageWhyCommand
  | LedgerGetCommand
  | RoomMuteCommand
  | ReceiptsGetCommand
  | ReceiptsSetCommand
  | AttachmentPutCommand
  | AttachmentGetCommand
  | UserInviteCommand
  | UserInviteResponseCommand
  | InviteCancelCommand
  | InviteListCommand
  | ContactAddCommand
  | ContactListCommand
  | ContactRequestCommand
  | ContactAcceptCommand
  | ContactRejectCommand
  | ContactCancelCommand
  | ContactRemoveCommand
  | ContactBlockCommand
  | ContactUnblockCommand
  | ContactRenameCommand
  | ContactVerifyCommand
  | ContactPolicyCommand
  | ContactLinkCreateCommand
  | ContactLinkResetCommand
  | ProfileGetCommand
  | ProfileSetCommand
  | PresenceSetCommand
  | PresenceSweepCommand
  | UserSearchCommand
  | NotificationListCommand
  | NotificationReadCommand
  | NotificationReadAllCommand
  | AnnouncementSendCommand
  | NodeStatusCommand
  | NodeStopCommand
  | PeerListCommand
  | PeerAddCommand
  | PeerRemoveCommand
  | TokenCreateCommand
  | TokenListCommand
  | TokenRevokeCommand
  | TokenRotateCommand
  | AuditListCommand
  | OriginListCommand
  | OriginAllowCommand
  | OriginRemoveCommand
  | DialectListCommand
  | DialectEnableCommand
  | DialectDisableCommand
  | LoginLinkCreateCommand
  | BackupCreateCommand
  | VaultPassphraseCommand
  | VaultLockCommand
  | VaultUnlockCommand;

/** What the node sends. */
export type GossamerEvent =
  | HelloEvent
  | OkEvent
  | ErrorEvent
  | WarningEvent
  | CaughtUpEvent
  | LaggedEvent
  | UserJoinEvent
  | UserLeaveEvent
  | RoomCreatedEvent
  | RoomUpdatedEvent
  | RoomDeletedEvent
  | RoomListedEvent
  | UserMessageEvent
  | MessageHealedEvent
  | MessageEditedEvent
  | MessageDeletedEvent
  | ReactionEvent
  | MessageStatusEvent
  | TypingEvent
  | AttachmentEvent
  | UserInviteEvent
  | InviteResultEvent
  | ContactAddedEvent
  | ContactRequestedEvent
  | ContactRequestCancelledEvent
  | ContactRejectedEvent
  | ContactRemovedEvent
  | ContactUpdatedEvent
  | KeyChangedEvent
  | ProfileEvent
  | PresenceEvent
  | NotificationEvent
  | NotificationsReadEvent
  | AnnouncementEvent
  | PeerUpEvent
  | PeerDownEvent
  | ConnectivityEvent;
// </types>
