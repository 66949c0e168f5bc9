// The errors of this package.

/** The package has no program for this platform, or the program was removed. */
export class BinaryNotFoundError extends Error {
  override name = 'BinaryNotFoundError';
}

/** The server did not start, or it ended. The message has the server's standard error. */
export class ServerError extends Error {
  override name = 'ServerError';
}

/** A problem document of the admin API. */
export interface Problem {
  detail?: string;
  title?: string;
  errors?: { source?: { pointer: string } }[];
  [member: string]: unknown;
}

/** The admin API refused a request. */
export class AdminError extends Error {
  override name = 'AdminError';

  constructor(
    request: string,
    /** The status of the answer, such as 422. */
    readonly status: number,
    /** The problem document (RFC 9457) of the answer. */
    readonly problem: Problem,
  ) {
    // The member of the document that was sent, by its JSON pointer.
    const pointer = problem.errors?.find((error) => error.source)?.source?.pointer;
    const place = pointer === undefined ? '' : `, at ${pointer}`;
    super(`${request}: ${problem.detail ?? problem.title ?? 'refused'}${place} (status ${status})`);
  }
}

/** Requests were expected that the server did not receive, or not as often. The message says what was asked instead. */
export class VerificationError extends Error {
  override name = 'VerificationError';
}
