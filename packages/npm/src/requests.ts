// Requests that a server received, and conditions on requests.

const ROOT = '/computeMetadata/v1/';

/** A condition on requests. What is left out matches every request. */
export interface RequestFilter {
  method?: string;
  /** Values of parameters. */
  query?: Record<string, string>;
}

/** A request that the server received. */
export class ReceivedRequest {
  readonly method: string;
  /** The path without `/computeMetadata/v1/`, such as `instance/id`; the whole path if it is not below that. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Record<string, string>;
  /** The status of the answer; null if the client left before it. */
  readonly status: number | null;
  readonly received: Date;
  /** Whether the path names something. */
  readonly matched: boolean;
  /** The entry of the journal. */
  readonly entry: any;

  constructor(entry: any) {
    const { request } = entry;
    const [path, query] = split(request.url);
    this.method = request.method;
    this.path = path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
    this.query = new URLSearchParams(query);
    this.headers = request.headers;
    this.status = entry.response.status;
    this.received = new Date(request.loggedDate);
    this.matched = entry.wasMatched;
    this.entry = entry;
  }
}

/** The request pattern of the admin API. In a path, a segment `*` is any one segment. */
export function pattern(path: string | undefined, filter: RequestFilter): Record<string, unknown> {
  const document: Record<string, unknown> = {};
  if (path !== undefined) {
    if (path.split('/').includes('*')) document.urlPathPattern = expression(path);
    else document.urlPath = whole(path);
  }
  if (filter.method !== undefined) document.method = filter.method.toUpperCase();
  if (filter.query) {
    const parameters = Object.entries(filter.query).map(([name, value]) => [name, { equalTo: value }]);
    document.queryParameters = Object.fromEntries(parameters);
  }
  return document;
}

/** Whether the server would say that this request matches the pattern. */
export function matches(request: ReceivedRequest, path: string | undefined, filter: RequestFilter): boolean {
  const hasPath = path === undefined || new RegExp(`^${expression(path)}$`).test(split(request.entry.request.url)[0]);
  const hasMethod = filter.method === undefined || filter.method.toUpperCase() === request.method;
  return hasPath && hasMethod && Object.entries(filter.query ?? {}).every(([name, value]) => request.query.getAll(name).includes(value));
}

/** The message of an expectation that does not hold, with what was asked instead. */
export function failure(problem: any): string {
  const lines = [problem.detail];
  const nearest: any[] = problem.nearMisses ?? [];
  if (nearest.length > 0) {
    lines.push('the nearest other requests are:', ...nearest.map(({ request }) => `  ${request.method} ${request.url}`));
  }
  const keys: string[] = problem.metadataServer?.nearestKeys ?? [];
  if (keys.length > 0) {
    lines.push('the metadata has no such key; the nearest keys are:', ...keys.map((key) => `  ${key}`));
  }
  return lines.join('\n');
}

function split(url: string): [string, string] {
  const at = url.indexOf('?');
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)];
}

function whole(path: string): string {
  return path.startsWith('/') ? path : ROOT + path;
}

function expression(path: string): string {
  const escaped = (segment: string) => segment.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return whole(path)
    .split('/')
    .map((segment) => (segment === '*' ? '[^/]+' : escaped(segment)))
    .join('/');
}
