// Scenarios: changes of a VM on a timeline, such as its preemption.

import type { Admin } from './admin.js';

/** How a scenario runs. */
export interface ScenarioOptions {
  /** A duration such as `5s` before the first state. */
  in?: string;
  /** The time of the first state (RFC 3339). */
  at?: string;
  /** By time; by `step` and `advance`; or at once. */
  progression?: 'time' | 'manual' | 'immediate';
  /** How fast the timeline runs; 60 is an hour in a minute. */
  speed?: number;
  /** True: the end does not put back the values that the run changed. */
  keep?: boolean;
  /** Those of the scenario, such as `{ notice: 120 }`. */
  parameters?: Record<string, unknown>;
}

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
  async run(options: ScenarioOptions = {}): Promise<this> {
    await this.#admin.call('POST', `${this.#path}/run`, options);
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
    await this.#admin.call('POST', `${this.#path}/advance`, { by: duration });
  }

  /** Stops the run, and puts back the values that it changed. */
  async stop(): Promise<void> {
    await this.#admin.call('POST', `${this.#path}/stop`);
  }
}
