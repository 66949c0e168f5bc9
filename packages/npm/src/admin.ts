// An HTTP client of the admin API (`/__admin/…`).

import http from 'node:http';
import { AdminError, ServerError } from './errors.js';

/** The server answers within ten seconds; only `requests/verify` may take longer. */
const TIMEOUT = 30_000;

export interface Answer {
  status: number;
  // The documents of the admin API are described by its OpenAPI document.
  body: any;
}

/** Sends requests to the admin API of one server. It ignores the proxies of the environment. */
export class Admin {
  readonly #agent = new http.Agent();

  constructor(readonly url: string) {}

  /**
   * Sends a request and returns its answer.
   *
   * @param path The path below `/__admin/`.
   * @param body Sent as JSON unless it is undefined.
   * @param also Statuses of errors that are expected.
   * @param wait Milliseconds that the server may wait before it answers.
   */
  async send(method: string, path: string, body?: unknown, also: number[] = [], wait = 0): Promise<Answer> {
    const request = `${method} /__admin/${path}`;
    const content = body === undefined ? undefined : JSON.stringify(body);
    const { status, text } = await this.#exchange(method, path, content, TIMEOUT + wait).catch((error) => {
      throw new ServerError(`${request}: no answer from ${this.url}: ${error.message}`, { cause: error });
    });
    const document = parse(text);
    if (status >= 400 && !also.includes(status)) throw new AdminError(request, status, document ?? {});
    return { status, body: document };
  }

  /** Sends a request and returns the JSON of its answer. */
  async call(method: string, path: string, body?: unknown): Promise<any> {
    return (await this.send(method, path, body)).body;
  }

  #exchange(method: string, path: string, content: string | undefined, timeout: number): Promise<{ status: number; text: string }> {
    const headers = {
      ...authorization(),
      ...(content === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(content) }),
    };
    return new Promise((resolve, reject) => {
      const request = http.request(`${this.url}/__admin/${path}`, { method, headers, agent: this.#agent, timeout }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part) => (text += part));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
        answer.on('error', reject);
      });
      request.on('timeout', () => request.destroy(new Error('timed out')));
      request.on('error', reject);
      request.end(content);
    });
  }
}

/** The token of the admin API, if its server demands one. */
function authorization(): Record<string, string> {
  const token = process.env.GCE_METADATA_ADMIN_TOKEN;
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function parse(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
