#!/usr/bin/env bash
# Makes a token of tpm2-pkcs11 with the key `born` in a swtpm, and runs a command with it:
#   dbus-run-session -- tpm2.sh FOLDER COMMAND...
# swtpm serves one connection, so tpm2-abrmd is between it and the module, on the bus of this session.
set -euo pipefail
folder=$1
shift
cd "$folder"
export TPM2_PKCS11_STORE=$folder/store TPM2_PKCS11_TCTI=tabrmd:bus_type=session TPM2TOOLS_TCTI=tabrmd:bus_type=session
export TSS2_LOG=all+ERROR TPM2_PKCS11_LOG_LEVEL=0
mkdir -p store state
processes=()
trap 'kill "${processes[@]}" 2>/dev/null || true' EXIT

swtpm socket --tpm2 --flags not-need-init,startup-clear --tpmstate dir=state \
  --server type=unixio,path=swtpm.sock --ctrl type=unixio,path=swtpm.sock.ctrl &
processes+=($!)
until [ -e swtpm.sock ] && [ -e swtpm.sock.ctrl ]; do kill -0 "${processes[0]}"; done
tpm2-abrmd --session --allow-root --tcti "swtpm:path=$folder/swtpm.sock" 2>abrmd.log &
processes+=($!)
until tpm2_getcap properties-fixed >/dev/null 2>getcap.log; do
  kill -0 "${processes[1]}"
  [ $SECONDS -lt 20 ] || { cat getcap.log abrmd.log; exit 1; }
done

{
  tpm2_ptool init
  tpm2_ptool addtoken --pid=1 --label='gce token' --sopin=12345678 --userpin=87654321
  tpm2_ptool addkey --label='gce token' --userpin=87654321 --key-label=born --algorithm=rsa2048
} >ptool.log 2>&1 || { cat ptool.log; exit 1; }
"$@"
