// google-auth-library obtains a live token through the server and calls an API that verifies its signature.

const assert = require('node:assert/strict');
const { GoogleAuth } = require('google-auth-library');

async function main() {
  const auth = new GoogleAuth();
  const answer = await (await auth.getClient()).request({ url: process.env.API });
  assert.equal(answer.data.email, process.env.EMAIL);
  const audience = 'https://service.example.com';
  const idToken = await (await auth.getIdTokenClient(audience)).idTokenProvider.fetchIdToken(audience);
  assert.equal(idToken.split('.').length, 3);
  console.log('google-auth-library, live: ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
