// The program under test: works until the machine is preempted, then saves its work.

const url = `http://${process.env.GCE_METADATA_HOST}/computeMetadata/v1/instance/preempted`;

console.log('working');
let [tag, preempted] = ['0', 'FALSE'];
while (preempted !== 'TRUE') {
  const query = `wait_for_change=true&last_etag=${tag}&timeout_sec=60`;
  const answer = await fetch(`${url}?${query}`, { headers: { 'Metadata-Flavor': 'Google' } });
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
  [tag, preempted] = [answer.headers.get('etag'), await answer.text()];
}
console.log('saved');
