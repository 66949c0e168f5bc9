// Faults: answers that the server gives instead of its usual ones, or with a delay.

import type { Admin } from './admin.js';
import { pattern, type RequestFilter } from './requests.js';

/** What happens to the requests of a fault. Further members are those of the admin API, such as `probability` and `seed`. */
export interface FaultOptions extends RequestFilter {
  /** One per request, such as `return-503`, `return-reset-connection` or `stall-for-2s`; later requests are answered as usual. */
  instructions?: string[];
  /** The status of the answer, instead of instructions. */
  status?: number;
  /** How many requests are answered so; all if left out. */
  times?: number;
  /** Milliseconds before the answer. Without a status the answer is the usual one. */
  delay?: number;
  /** The body of the answer, instead of Google's own page. */
  body?: string;
  /** Headers of the answer. */
  headers?: Record<string, string>;
  [member: string]: unknown;
}

/**
 * The document of a fault.
 *
 * @param path The path of the metadata, such as `instance/id`; a segment `*` is any one segment.
 */
export function fault(path: string, options: FaultOptions): Record<string, unknown> {
  const { method, query, instructions, status, times, delay, body, headers, ...members } = options;
  const filter = { ...(method === undefined ? {} : { method }), ...(query === undefined ? {} : { query }) };
  const document: Record<string, unknown> = { request: pattern(path, filter), ...members };
  if (instructions) {
    if ([status, times, delay, body, headers].some((option) => option !== undefined)) {
      throw new TypeError('a fault has either instructions, or a status, delay, body or headers with `times`');
    }
    return { ...document, instructions };
  }
  const response = {
    // The usual answer after a delay, in WireMock's words.
    ...(status === undefined && delay !== undefined ? { proxyBaseUrl: 'http://metadata.google.internal' } : {}),
    ...defined({ status, fixedDelayMilliseconds: delay, body, headers }),
  };
  if (Object.keys(response).length > 0) document.response = { ...response, ...(members.response as object | undefined) };
  return { ...document, ...defined({ failRequestCount: times }) };
}

/** A fault that the server has. */
export class Fault {
  readonly #admin: Admin;

  constructor(
    admin: Admin,
    /** The UUID of the fault. */
    readonly id: string,
  ) {
    this.#admin = admin;
  }

  /** The fault, with its counters in `metadata.metadataServer`: `matched`, `injected`, `completed`. */
  async document(): Promise<any> {
    return this.#admin.call('GET', `mappings/${this.id}`);
  }

  /** How many requests were answered by the fault. */
  async injected(): Promise<number> {
    return (await this.document()).metadata.metadataServer.injected;
  }

  /** Removes the fault. */
  async remove(): Promise<void> {
    await this.#admin.call('DELETE', `mappings/${this.id}`);
  }
}

/** The faults of a server. */
export class Faults {
  readonly #admin: Admin;

  constructor(admin: Admin) {
    this.#admin = admin;
  }

  /** Adds a fault. `reset` of the server removes all. */
  async add(path: string, options: FaultOptions): Promise<Fault>;
  /** Adds a fault by its document. */
  async add(document: Record<string, unknown>): Promise<Fault>;
  async add(first: string | Record<string, unknown>, options: FaultOptions = {}): Promise<Fault> {
    const document = typeof first === 'string' ? fault(first, options) : first;
    return new Fault(this.#admin, (await this.#admin.call('POST', 'mappings', document)).id);
  }

  /** All faults. */
  async list(): Promise<Fault[]> {
    const { mappings } = await this.#admin.call('GET', 'mappings');
    return mappings.map(({ id }: { id: string }) => new Fault(this.#admin, id));
  }

  /** Removes all faults. */
  async clear(): Promise<void> {
    await this.#admin.call('DELETE', 'mappings');
  }
}

function defined(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
