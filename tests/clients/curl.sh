#!/usr/bin/env bash
# curl, as the READMEs call it: by the names that a VM knows, over redirects, with HTTP/1.0.
set -euo pipefail

host=$GCE_METADATA_HOST
v1=http://metadata.google.internal/computeMetadata/v1
ask() { curl -sS --connect-to "::$host" "$@"; }
get() { ask -H 'Metadata-Flavor: Google' "$@"; }
same() { [ "$2" = "$3" ] || { echo "$1: '$2' instead of '$3'" >&2; exit 1; }; }

same id "$(get $v1/instance/id)" 5775171277418378001
same 'trailing dot' "$(get http://metadata.google.internal./computeMetadata/v1/project/project-id)" sample-project
same 'double slash' "$(get $v1/project//project-id)" sample-project
same 'address' "$(get http://169.254.169.254/computeMetadata/v1/project/project-id)" sample-project
same 'redirect' "$(get -L "$v1/instance/scheduling?recursive=true")" \
  '{"automaticRestart":"TRUE","onHostMaintenance":"MIGRATE","preemptible":"FALSE"}'
same 'no header' "$(ask -o /dev/null -w '%{http_code}' $v1/instance/id)" 403
same 'forwarded' "$(get -o /dev/null -w '%{http_code}' -H 'X-Forwarded-For: 192.0.2.1' $v1/instance/id)" 403
same 'detection' "$(ask -I http://metadata.google.internal/ | tr -d '\r' | grep -i '^metadata-flavor')" 'Metadata-Flavor: Google'
same 'HTTP/1.0' "$(get --http1.0 $v1/instance/name)" vm-1
same 'two on one connection' "$(get -H 'Connection: keep-alive' --http1.0 $v1/instance/name $v1/instance/zone)" \
  vm-1projects/123456789012/zones/us-central1-a
get $v1/instance/service-accounts/default/token | grep -q '^{"access_token":"ya29\..*","expires_in":3[0-9]*,"token_type":"Bearer"}$'
get "$v1/instance/service-accounts/default/identity?audience=https://foo.bar" | grep -q '^eyJ[^.]*\.eyJ[^.]*\.[^.]*$'
echo 'curl: ok'
