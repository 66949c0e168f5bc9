// A client of scripts/retry-matrix: gets an access token with google-auth-library or with gcp-metadata, as its argument says.
const { GoogleAuth } = require('google-auth-library');
const metadata = require('gcp-metadata');

/** The library has accepted an answer without a token: it returns invalid JSON as a string. */
class NoToken extends Error {}

async function getTokens(library, times) {
  const auth = new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform' });
  for (let i = 0; i < times; i++) {
    const token =
      library === 'gcp-metadata'
        ? (await metadata.instance('service-accounts/default/token')).access_token
        : await auth.getAccessToken();
    if (!token) throw new NoToken();
  }
}

async function main() {
  console.log('started');
  let outcome = 'ok';
  try {
    await getTokens(process.argv[2], Number(process.env.TOKENS));
  } catch (error) {
    console.error(error);
    outcome = `error ${error.constructor.name}`;
  }
  console.log(outcome);
}

main();
