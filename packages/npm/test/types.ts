// The types, as a program in TypeScript sees them. The compiler checks this file; nothing runs it.

import { type MetadataServer, VerificationError, fault, start } from 'gce-metadata-server';
import { test } from 'gce-metadata-server/vitest';

async function main(): Promise<void> {
  await using vm: MetadataServer = await start({ config: 'vm.json', args: ['--offline-token-lifetime', '10s'] });
  const environment: NodeJS.ProcessEnv = vm.env;
  const count: number = await vm.verify('instance/id', { atLeast: 1, within: 5_000 });
  const status: number | null | undefined = (await vm.requests('instance/id'))[0]?.status;
  await vm.faults.add('instance/id', { status: 503, times: 2, probability: 0.5 });
  await vm.faults.add(fault('instance/id', { instructions: ['return-503'] }));
  await (await vm.scenario('preemption', { parameters: { notice: 120 } })).advance('30s');
  await vm.tokens.set({ accessToken: 'made-up', then: 'unavailable' });
  // @ts-expect-error: no such word
  await vm.tokens.set({ then: 'nothing' });
  // @ts-expect-error: a number is expected
  await vm.verify('instance/id', { times: '1' });
  console.log(environment, count, status, VerificationError);
}

test('the fixture has a type', async ({ vm }) => {
  const url: string = vm.url;
  console.log(url);
});

void main();
