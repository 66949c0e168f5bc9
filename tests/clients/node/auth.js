// google-auth-library detects the server as GCE's: default credentials, an access token, and an identity token that verifies.

const assert = require('node:assert/strict');
const { Compute, GoogleAuth, OAuth2Client } = require('google-auth-library');

const SERVER = `http://${process.env.GCE_METADATA_HOST}`;
const AUDIENCE = 'https://service.example.com';

async function main() {
  const auth = new GoogleAuth();
  const client = await auth.getClient();
  assert.ok(client instanceof Compute, 'the default credentials are not a VM\'s');
  assert.equal(await auth.getProjectId(), 'sample-project');
  assert.equal((await auth.getCredentials()).client_email, 'vm-1@sample-project.iam.gserviceaccount.com');
  const { token } = await client.getAccessToken();
  assert.match(token, /^ya29\./);
  const lifetime = (client.credentials.expiry_date - Date.now()) / 1000;
  assert.ok(lifetime > 3000 && lifetime <= 3600, `the token lives for ${lifetime} s`);

  const idToken = await (await auth.getIdTokenClient(AUDIENCE)).idTokenProvider.fetchIdToken(AUDIENCE);
  const certs = await (await fetch(`${SERVER}/oauth2/v1/certs`)).json();
  const verifier = new OAuth2Client();
  const ticket = await verifier.verifySignedJwtWithCertsAsync(idToken, certs, AUDIENCE, ['https://accounts.google.com']);
  assert.equal(ticket.getPayload().aud, AUDIENCE);
  await assert.rejects(verifier.verifySignedJwtWithCertsAsync(idToken, certs, 'https://another.example.com'), /Wrong recipient/);
  console.log('google-auth-library: ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
