// Scenarios: changes of a VM on a timeline, such as its preemption.

import type { Admin } from './admin.js';

/** A run of a scenario. */
export class Scenario {
  readonly #admin: Admin;
  readonly #path: string;

  constructor(
    admin: Admin,
    readonly name: string,
  ) {
    this.#admin = admin;
    this.#path = `scenarios/${encodeURIComponent(name)}`;
  }

  /** Starts the run. */
  async run(parameters: Record<string, unknown> = {}): Promise<this> {
    await this.#admin.call('POST', `${this.#path}/run`, parameters);
    return this;
  }

  /** The name of the current state. */
  async state(): Promise<string> {
    const { scenarios } = await this.#admin.call('GET', 'scenarios');
    return scenarios.find(({ name }: { name: string }) => name === this.name).state;
  }

  /** Goes to the next state at once. */
  async step(): Promise<void> {
    await this.#admin.call('POST', `${this.#path}/step`);
  }

  /** Advances the timeline by a duration such as `30s`. */
  async advance(duration: string): Promise<void> {
    await this.#admin.call('POST', `${this.#path}/advance`, { duration });
  }

  /** Stops the run, and puts back the values that it changed. */
  async stop(): Promise<void> {
    await this.#admin.call('POST', `${this.#path}/stop`);
  }
}
