// Prints an access token of Application Default Credentials.
const { GoogleAuth } = require("google-auth-library");

new GoogleAuth({ scopes: "https://www.googleapis.com/auth/cloud-platform" })
  .getAccessToken()
  .then((token) => console.log(token))
  .catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
