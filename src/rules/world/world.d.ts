
/** A comment. `internal` is the opposite of `public`. */
interface Comment {
  id: string | null;
  remote_id: string | null;
  author: { name: string | null; email: string | null } | null;
  body: string;
  format: 'plain' | 'html' | 'markdown';
  public: boolean;
  internal: boolean;
  created_at: string | null;
  updated_at: string | null;
  readonly remoteId: string | null;
  readonly created: string | null;
  readonly updated: string | null;
}

/** A file. */
interface Attachment {
  id: string | null;
  remote_id: string | null;
  filename: string;
  media_type: string | null;
  size: number | null;
  sha256: string | null;
  url: string | null;
  created_at: string | null;
  readonly remoteId: string | null;
  readonly mimetype: string | null;
  readonly filesize: number | null;
  readonly created: string | null;
}

/** The neutral copy of a record. Its names are those that the outgoing rule of either side writes. */
interface Replica {
  [name: string]: any;
  comments?: Comment[];
  attachments?: Attachment[];
  /** Names that differ from `previous`. */
  readonly changed: string[];
  /** Incoming: the other side's record was deleted, and this is the last run. */
  readonly deleted: boolean;
  readonly addedComments: readonly Comment[];
  readonly changedComments: readonly Comment[];
  readonly removedComments: readonly Comment[];
  readonly addedAttachments: readonly Attachment[];
  readonly removedAttachments: readonly Attachment[];
}

/** Outgoing: read only. Incoming: assign what should become true. */
declare const entity: Entity;
/** Outgoing: write what the other side should get. Incoming: what the other side sent. */
declare const replica: Replica;
/** The last replica sent (outgoing) or applied (incoming). */
declare const previous: { readonly [name: string]: any } | null;
/** Outgoing: the other side has no record yet. Incoming: the record is being made here. */
declare const firstSync: boolean;
declare const connection: {
  readonly id: string;
  readonly name: string;
  readonly mode: 'basic' | 'script';
  readonly localShortName: string;
  readonly remoteShortName: string;
};

/** Ends the rule: nothing happens to this change, and the reason stands in its history. */
declare function skip(reason?: string): never;
/** Lines in the history of the change. */
declare const log: Readonly<Record<'debug' | 'info' | 'warn' | 'error', (...values: unknown[]) => void>>;

type Text = string | null | undefined;
type Notation = 'html' | 'markdown' | 'plain' | 'textile' | 'wiki';
/** `htmlToMarkdown`, `wikiToPlain` and so on, from each notation to each other. */
type Conversions = {
  readonly [From in Notation as `${From}To${Capitalize<Exclude<Notation, From>>}`]: <T extends Text>(text: T) => T extends string ? string : T;
};
declare const nodeHelper: Conversions & {
  /** Whether a picklist of our tracker has this value; true for what is no picklist. */
  isListed(field: string, value: unknown): boolean;
  /** A date of ISO 8601, of milliseconds since 1970 or of Salesforce's form. Without a zone it is UTC. */
  toDate(value: string | number | Date | null | undefined): Date | null;
  /** Cuts a text to a number of letters, with a visible mark. */
  fit<T extends Text>(text: T, length: number, mark?: string): T extends string ? string : T;
  stripHtml<T extends Text>(html: T): T extends string ? string : T;
  /** An active user of our tracker; null where there is none. */
  getUserByEmail(email: Text): { readonly Id: string; readonly Name: string; readonly Email: string; readonly Username: string } | null;
  /** Key of our record whose twin is the other side's record of this key; null where there is none yet. The rule runs again then. */
  getLocalIssueKeyFromRemoteId(remoteKey: string | number | null | undefined, entityType?: string): string | null;
};
/** Asks our own tracker, as the integration user. Paths only. What it refuses is thrown, with its own `code`. */
declare const httpClient: {
  get(path: string, query?: { [name: string]: unknown }): any;
  /** What makes or changes something is done once, however often the rule has to run. */
  post(path: string, body?: unknown): any;
  put(path: string, body?: unknown): any;
  patch(path: string, body?: unknown): any;
  delete(path: string): any;
};
/** Incoming: writes the record now; it has its key afterwards. */
declare function store(entity: Entity): Entity;
/** A query whose values are quoted: soql`SELECT Id FROM User WHERE Email = ${email}`. */
declare function soql(query: TemplateStringsArray, ...values: unknown[]): string;
/** One value, quoted. */
declare function soql(value: unknown): string;
declare const commentHelper: {
  /** Incoming: writes what was added and changed, takes away what was removed. `false` or `null` leaves a comment out. */
  mergeComments(entity: Entity, replica: Replica, fn?: (comment: Comment, original: Readonly<Comment>) => unknown): Comment[];
};
declare const attachmentHelper: {
  /** Incoming: takes what was added, removes what was removed. `false` or `null` leaves a file out. */
  mergeAttachments(entity: Entity, replica: Replica, fn?: (file: Attachment, original: Readonly<Attachment>) => unknown): Attachment[];
};
declare const syncHelper: {
  /** Incoming, first sync: this record of ours becomes the twin; none is made. */
  linkTo(key: string): void;
  /** Starts the sync of another record of ours. */
  sync(entityType: string, key: string): void;
  /** Incoming: sends the record back once it is written. */
  syncBackAfterProcessing(): void;
  /** Ends the sync of this pair. */
  stopAfterProcessing(): void;
  /** Ends the sync of this pair. */
  unExalateAfterProcessing(): void;
  /** As `nodeHelper` has it. */
  getLocalIssueKeyFromRemoteId(remoteKey: string | number | null | undefined, entityType?: string): string | null;
};
