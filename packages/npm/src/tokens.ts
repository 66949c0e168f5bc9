// The tokens of a running server.

import type { Admin } from './admin.js';

/** What an account gets. */
export interface TokenOptions {
  /** An e-mail, or an alias; `default` if left out. */
  account?: string;
  /** The access token to serve. */
  accessToken?: string;
  /** Seconds until the access token ends (3600). */
  expiresIn?: number;
  /** The identity token to serve, until its `exp`. */
  idToken?: string;
  /** After a given token has ended: a token that the server makes, or status 503. */
  then?: 'source' | 'unavailable';
  /** Seconds that tokens are valid which the server makes. */
  lifetime?: number;
  /** The stated lifetime of an access token minus its true one, in seconds. */
  skew?: number;
  /** False: each request gets a new token. */
  reuse?: boolean;
}

/** Changes the tokens that accounts get. */
export class Tokens {
  readonly #admin: Admin;

  constructor(admin: Admin) {
    this.#admin = admin;
  }

  /** Gives an account tokens, or changes how the server makes them. A second call replaces the first. */
  async set({ account, accessToken, expiresIn, idToken, ...others }: TokenOptions): Promise<void> {
    await this.#admin.call('PUT', path(account), {
      access_token: accessToken,
      expires_in: expiresIn,
      id_token: idToken,
      ...others,
    });
  }

  /** Drops the cached tokens of the account, so that the next answer is a new token. */
  async rotate(account?: string): Promise<void> {
    await this.#admin.call('POST', `${path(account)}/rotate`);
  }

  /** Undoes `set`. */
  async clear(account?: string): Promise<void> {
    await this.#admin.call('DELETE', path(account));
  }

  /** The accounts with the source and expiry of their tokens. It has no token. */
  async status(): Promise<any> {
    return this.#admin.call('GET', 'tokens');
  }
}

function path(account = 'default'): string {
  return `tokens/${encodeURIComponent(account)}`;
}
