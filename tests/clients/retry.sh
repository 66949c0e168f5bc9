#!/usr/bin/env bash
# A client of scripts/retry-matrix: curl with the time-out and the number of retries of gcloud, which is 20 seconds and 3 retries of
# any error (_ReadNoProxyWithCleanFailures in gcloud's core/credentials/gce.py).
set -euo pipefail
url="http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/token"
echo started
outcome=ok
for ((i = 0; i < TOKENS; i++)); do
  curl --silent --show-error --fail --max-time 20 --retry 3 --retry-all-errors --retry-delay 1 --output "$HOME/token" \
    --header 'Metadata-Flavor: Google' "$url" || { outcome="error exit $?"; break; }
done
echo "$outcome"
