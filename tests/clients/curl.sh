#!/usr/bin/env bash
# curl, as the READMEs call it: by each name of the server, over redirects, with HTTP/1.0.
# With the path of a Unix socket as its argument, it connects there.
set -euo pipefail

v1=http://metadata.google.internal/computeMetadata/v1
account=$v1/instance/service-accounts/default
if [ $# -gt 0 ]; then via=(--unix-socket "$1"); else via=(--connect-to "::$GCE_METADATA_HOST"); fi
ask() { curl -sS "${via[@]}" "$@"; }
get() { ask -H 'Metadata-Flavor: Google' "$@"; }
same() { [ "$2" = "$3" ] || { echo "$1: '$2' instead of '$3'" >&2; exit 1; }; }
like() { [[ $2 =~ $3 ]] || { echo "$1: '$2' is not like '$3'" >&2; exit 1; }; }

same 'id' "$(get $v1/instance/id)" 5775171277418378001
same 'trailing dot' "$(get http://metadata.google.internal./computeMetadata/v1/project/project-id)" sample-project
same 'double slash' "$(get $v1/project//project-id)" sample-project
same 'address' "$(get http://169.254.169.254/computeMetadata/v1/project/project-id)" sample-project

whole=$(get "$v1/instance/?recursive=true")
like 'recursive' "$whole" '^\{"attributes":\{.*"id":5775171277418378001,.*\}$'
same 'redirect' "$(get -L -w ' after %{num_redirects}' "$v1/instance?recursive=true")" "$whole after 1"

same 'no header' "$(ask -o /dev/null -w '%{http_code}' $v1/instance/id)" 403
same 'forwarded' "$(get -o /dev/null -w '%{http_code}' -H 'X-Forwarded-For: 192.0.2.1' $v1/instance/id)" 403
same 'detection' "$(ask -I http://metadata.google.internal/ | tr -d '\r' | grep -i '^metadata-flavor')" 'Metadata-Flavor: Google'

same 'HTTP/1.0' "$(get --http1.0 $v1/instance/name)" vm-1
same 'HTTP/1.0 kept alive' \
  "$(get --http1.0 -H 'Connection: keep-alive' -w ' on %{num_connects} new\n' $v1/instance/name $v1/instance/zone)" \
  $'vm-1 on 1 new\nprojects/123456789012/zones/us-central1-a on 0 new'

like 'token' "$(get $account/token)" '^\{"access_token":"ya29\.[^"]+","expires_in":3[0-9]{3},"token_type":"Bearer"\}$'
like 'identity' "$(get "$account/identity?audience=https://foo.bar")" '^eyJ[^.]+\.eyJ[^.]+\.[^.]+$'
echo 'curl: ok'
