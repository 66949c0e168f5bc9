// The program under test.

const { GoogleAuth } = require('google-auth-library');

async function metadata(path) {
  const url = `http://${process.env.GCE_METADATA_HOST}/computeMetadata/v1/${path}`;
  const answer = await fetch(url, { headers: { 'Metadata-Flavor': 'Google' } });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return { text: await answer.text(), etag: answer.headers.get('etag') };
}

async function waitForPreemption() {
  let state = await metadata('instance/preempted');
  while (state.text !== 'TRUE') {
    state = await metadata(`instance/preempted?wait_for_change=true&last_etag=${state.etag}`);
  }
}

class Reports {
  constructor(storageUrl) {
    this.auth = new GoogleAuth();
    this.url = storageUrl;
  }

  async download(name) {
    const url = `${this.url}/storage/v1/b/reports/o/${name}?alt=media`;
    return (await this.auth.request({ url, responseType: 'text' })).data;
  }
}

module.exports = { metadata, waitForPreemption, Reports };
