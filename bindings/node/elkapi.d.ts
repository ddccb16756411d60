export declare const version: string;

/** The options of the repository's README; what is absent comes from the environment. */
export type Options = Record<string, unknown> | string;
/** A request of the gateway, as an object or JSON text. */
export type Request = Record<string, unknown> | string;

export interface CallOptions {
  signal?: AbortSignal;
}

export interface Image {
  mediaType: string | null;
  /** null for a picture that came with the answer */
  url: string | null;
  /** null for a remote picture */
  bytes: Buffer | null;
  save(path: string): void;
}

export declare class Answer {
  private constructor();
  readonly text: string;
  readonly verdict: string;
  readonly json: string;
  readonly message: string;
  readonly failed: boolean;
  readonly requestId: string | null;
  readonly images: Image[];
  /** A string's text, anything else as JSON; null for null and for what is not there. */
  get(pointer: string): string | null;
  number(pointer: string): number | null;
  count(pointer: string): number;
  type(pointer: string): "null" | "boolean" | "number" | "string" | "array" | "object" | "";
  header(name: string): string | null;
  close(): void;
}

export declare class ElkapiError extends Error {
  private constructor();
  readonly kind: string;
  readonly status: number | null;
  readonly code: string | null;
  readonly requestId: string | null;
  readonly retryable: boolean;
  readonly billed: "no" | "maybe" | "yes";
  readonly retryAfterMs: number | null;
  /** What had arrived. */
  readonly answer: Answer;
}

export declare class ClosedError extends Error {}

export interface Chunk {
  text: string;
  json: string;
}

export declare class Stream implements AsyncIterable<Chunk> {
  private constructor();
  [Symbol.asyncIterator](): AsyncGenerator<Chunk, void, undefined>;
  answer(): Promise<Answer>;
  cancel(): void;
}

export declare class Client {
  constructor(options?: Options);
  with(changes: Options): Client;
  chatCompletions(request: Request, options?: CallOptions): Promise<Answer>;
  stream(request: Request, options?: CallOptions): Stream;
  get(path: string, options?: CallOptions): Promise<Answer>;
  close(): void;
}
