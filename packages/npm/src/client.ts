// A running server, as a test sees it.

import { Admin } from './admin.js';
import { type Changes, changed, patchEnvironment } from './environment.js';
import { ServerError, VerificationError } from './errors.js';
import { Faults } from './faults.js';
import { ReceivedRequest, type RequestFilter, failure, matches, pattern } from './requests.js';
import { Scenario, type ScenarioOptions } from './scenario.js';
import { Tokens } from './tokens.js';

/** How often requests are expected; at least once if all limits are left out. */
export interface Expectation extends RequestFilter {
  /** Exactly so often. */
  times?: number;
  atLeast?: number;
  atMost?: number;
  /** Milliseconds to wait for the requests. */
  within?: number;
}

/**
 * Changes a running server by its admin API, and sees what programs asked it.
 *
 * Methods throw `AdminError` if the server refuses a change.
 */
export class Client {
  /** The URL of the metadata server, such as `http://127.0.0.1:43121`. */
  readonly url: string;
  /** The tokens of the accounts. */
  readonly tokens: Tokens;
  /** The faults that programs meet. */
  readonly faults: Faults;
  readonly #admin: Admin;
  readonly #changes: Changes;

  /** Use `start` or `connect`. */
  protected constructor(
    /** `HOST:PORT`, the value of `GCE_METADATA_HOST`. */
    readonly host: string,
    /** The URL of the admin API. */
    readonly adminUrl: string,
    variables: Changes,
  ) {
    this.url = `http://${host}`;
    this.#admin = new Admin(adminUrl);
    this.#changes = { ...variables, GCE_METADATA_ADMIN: adminUrl };
    this.tokens = new Tokens(this.#admin);
    this.faults = new Faults(this.#admin);
  }

  /** The server of this process' environment: `gce-metadata-server exec -- npm test` starts one. */
  static async connect(): Promise<Client> {
    const { GCE_METADATA_HOST: host, GCE_METADATA_ADMIN: admin } = process.env;
    if (!host || !admin) {
      throw new ServerError('GCE_METADATA_HOST and GCE_METADATA_ADMIN are not set: run this with `gce-metadata-server exec -- …`');
    }
    if (!admin.startsWith('http://')) {
      throw new ServerError(`GCE_METADATA_ADMIN is ${admin}: an address http://HOST:PORT is needed, as of \`--admin 0\``);
    }
    return new Client(host, admin, {});
  }

  // The environment of programs.

  /** The variables that direct Google's libraries to this server; null means that the variable must be unset. */
  get changes(): Changes {
    return { ...this.#changes };
  }

  /** A whole environment for a program that runs as on the VM: `spawn('my-program', { env: vm.env })`. */
  get env(): Record<string, string> {
    return changed(this.#changes);
  }

  /** Directs the libraries in this process to the server. The result puts `process.env` back. */
  patchEnv(): () => void {
    return patchEnvironment(this.#changes);
  }

  // The metadata.

  /** A value of the metadata, or a directory, in the form of a config. Without a path it is the whole config. */
  async get(path = ''): Promise<any> {
    return this.#admin.call('GET', metadata(path));
  }

  /** Sets a value, such as `set('instance/attributes/color', 'blue')`. Programs that wait for it are answered. */
  async set(path: string, value: unknown): Promise<void> {
    await this.#admin.call('PUT', metadata(path), value);
  }

  /** Removes a value or directory. */
  async unset(path: string): Promise<void> {
    await this.#admin.call('DELETE', metadata(path));
  }

  /**
   * Changes several values at once by a merge patch (RFC 7396), in which null removes a key:
   * `patch({ instance: { preempted: 'TRUE' } })` has the keys of a config.
   */
  async patch(changes: Record<string, unknown>, path = ''): Promise<void> {
    await this.#admin.call('PATCH', metadata(path), changes);
  }

  /** Replaces the whole metadata by that of a config. */
  async replace(config: Record<string, unknown>): Promise<void> {
    await this.#admin.call('PUT', 'metadata', config);
  }

  /** Runs a scenario, such as `scenario('preemption', { parameters: { notice: 120 } })`. */
  async scenario(name: string, options?: ScenarioOptions): Promise<Scenario> {
    return new Scenario(this.#admin, name).run(options);
  }

  /** Undoes all changes: metadata, tokens, faults, scenarios, settings. Empties the journal. */
  async reset(): Promise<void> {
    await this.#admin.call('POST', 'reset');
  }

  // The requests.

  /** The requests that programs sent, the oldest first. In a path, a segment `*` is any one segment. */
  async requests(path?: string, filter: RequestFilter & { unmatched?: boolean } = {}): Promise<ReceivedRequest[]> {
    const { requests } = await this.#admin.call('GET', filter.unmatched ? 'requests?unmatched=true' : 'requests');
    const received: ReceivedRequest[] = requests.map((entry: unknown) => new ReceivedRequest(entry)).reverse();
    return received.filter((request) => matches(request, path, filter));
  }

  /**
   * Asserts how often programs sent such a request, by default at least once. Returns how often they did.
   *
   * @throws VerificationError The expectation does not hold. The message says what was asked instead.
   */
  async verify(path?: string, expectation: Expectation = {}): Promise<number> {
    const { times, atLeast = times, atMost = times, within = 0, ...filter } = expectation;
    const hasLimits = atLeast !== undefined || atMost !== undefined;
    const body = {
      request: pattern(path, filter),
      timeout: within,
      ...(hasLimits ? { times: { atLeast, atMost } } : {}),
    };
    const answer = await this.#admin.send('POST', 'requests/verify', body, [406], within);
    if (answer.status === 406) throw new VerificationError(failure(answer.body));
    return answer.body.count;
  }
}

function metadata(path: string): string {
  const segments = path.split('/').filter((segment) => segment !== '');
  return ['metadata', ...segments.map(encodeURIComponent)].join('/');
}
