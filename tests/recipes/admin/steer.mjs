const { GCE_METADATA_HOST: host, GCE_METADATA_ADMIN: admin } = process.env;

// The answer for a path of the metadata.
const metadata = (path) =>
  fetch(`http://${host}/computeMetadata/v1/${path}`, { headers: { 'Metadata-Flavor': 'Google' } });

// Changes the metadata or the tokens by the admin API.
const change = (path, value) =>
  fetch(`${admin}/__admin/${path}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(value),
  });

// Change a value.
await change('metadata/instance/attributes/color', 'blue');
console.log('color:', await (await metadata('instance/attributes/color')).text());

// See a long poll wake.
const tag = (await metadata('instance/preempted')).headers.get('etag');
const woken = metadata(`instance/preempted?wait_for_change=true&last_etag=${tag}`);
await change('metadata/instance/preempted', 'TRUE');
console.log('preempted:', await (await woken).text());

// Make tokens expire in ten seconds.
await change('tokens/default', { lifetime: 10 });
const token = await (await metadata('instance/service-accounts/default/token')).json();
console.log('expires within 10 s:', token.expires_in <= 10);
