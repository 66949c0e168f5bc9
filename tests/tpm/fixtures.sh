#!/usr/bin/env bash
# Puts one RSA key into a TPM in every way that tpm2-tools supports, each by the documented commands.
#
# fixtures.sh FOLDER CASE…      with TPM2TOOLS_TCTI set, and FOLDER/rsa.pem the key in PEM
#
# plain          private.pem                below the owner's primary
# persistent     0x81010002                 the same at a handle
# password       private-password.pem       with the password pass1
# pcr            private-pcr.pem            bound to sha256:23
# banks          private-banks.pem          bound to sha1:16 and sha256:23
# restricted     private-restricted.pem     a restricted key, which signs only data made by the TPM
# decrypt        private-decrypt.pem        decrypts and does not sign
# ecc            private-ecc.pem            an elliptic-curve key
# generated      private-generated.pem      made by the TPM itself, 3072 bits
# openssl        private-openssl.pem        made by tpm2-openssl; private-openssl-password.pem: with the password pass1
# ek             private-ek.pem             below the endorsement key
# sent-password  sent-password.pem          sent to the endorsement key, with the password bar; importable-password.pem: still wrapped
#                0x81008001                 the same at a handle
# sent-pcr       sent-pcr.pem               sent to the endorsement key, bound to sha256:23; importable-pcr.pem: still wrapped
#                0x81008002                 the same at a handle
# parent         private-below.pem          below the key at 0x81000001, which has the password parent
# owner          private-owner.pem          below the owner's primary, when the owner has the password owner; comes last
set -euo pipefail
cd "$1"
shift

# A TPM without a resource manager has room for three keys.
flush() { tpm2_flushcontext -t; tpm2_flushcontext -l; tpm2_flushcontext -s; }
run() { "$@" >/dev/null; tpm2_flushcontext -t; }

primary() {
  flush
  printf '\0\0' >unique
  run tpm2_createprimary -C o -G ecc -g sha256 -c primary.ctx -u unique \
    -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
}

# bring FILE OPTION… : imports the key below the primary
bring() {
  local out=$1
  shift
  run tpm2_import -C primary.ctx -G rsa2048:rsassa:null -g sha256 -i rsa.pem -u k.pub -r k.prv "$@"
  run tpm2_encodeobject -C primary.ctx -u k.pub -r k.prv -o "$out"
  flush
}

# make FILE KIND OPTION… : creates a key below the primary
make() {
  local out=$1 kind=$2
  shift 2
  run tpm2_create -C primary.ctx -G "$kind" -g sha256 -u k.pub -r k.prv "$@"
  run tpm2_encodeobject -C primary.ctx -u k.pub -r k.prv -o "$out"
  flush
}

# policy FILE COMMAND OPTION… : writes the digest of a policy
policy() {
  local out=$1
  shift
  run tpm2_startauthsession -S trial
  run "$@" -S trial -L "$out"
  run tpm2_flushcontext trial
  flush
}

endorsement() {
  run tpm2_createek -c ek.ctx -G rsa -u ek.pub
  run tpm2_readpublic -c ek.ctx -n ek.name
}

may_use_endorsement() {
  run tpm2_startauthsession --policy-session -S ek.session
  run tpm2_policysecret -S ek.session -c e
}

# wrapped FILE PUBLIC PRIVATE SECRET : writes the key file of a key that is not imported yet
wrapped() {
  hex() { xxd -p "$1" | tr -d '\n'; }
  cat >asn1 <<EOF
asn1 = SEQUENCE:key
[key]
type = OID:2.23.133.10.1.4
auth = EXPLICIT:0,BOOLEAN:TRUE
secret = EXPLICIT:2,FORMAT:HEX,OCTETSTRING:$(hex "$4")
parent = INTEGER:0x4000000b
public = FORMAT:HEX,OCTETSTRING:$(hex "$2")
private = FORMAT:HEX,OCTETSTRING:$(hex "$3")
EOF
  openssl asn1parse -genconf asn1 -noout -out der
  { echo '-----BEGIN TSS2 PRIVATE KEY-----'; base64 -w 64 der; echo '-----END TSS2 PRIVATE KEY-----'; } >"$1"
}

# keep HANDLE CONTEXT
keep() {
  run tpm2_evictcontrol -C o -c "$2" "$1"
  flush
}

# send NAME HANDLE POLICY OPTION… : wraps the key for the endorsement key, imports it there
send() {
  local name=$1 handle=$2 branch=$3
  shift 3
  endorsement
  policy sending tpm2_policyduplicationselect -N ek.name
  policy either tpm2_policyor "sha256:$branch,sending"
  run tpm2_import -C primary.ctx -G rsa2048 -g sha256 -i rsa.pem -u s.pub -r s.prv -L either -a sign "$@"
  tpm2_load -Q -C primary.ctx -u s.pub -r s.prv -c s.ctx -n s.name
  tpm2_flushcontext -t
  run tpm2_startauthsession --policy-session -S s.session
  run tpm2_policyduplicationselect -S s.session -N ek.name -n s.name
  run tpm2_policyor -S s.session "sha256:$branch,sending"
  run tpm2_duplicate -C ek.ctx -c s.ctx -G null -p session:s.session -r s.dup -s s.seed
  run tpm2_flushcontext s.session
  flush
  wrapped "importable-$name.pem" s.pub s.dup s.seed
  may_use_endorsement
  run tpm2_import -C ek.ctx -P session:ek.session -u s.pub -i s.dup -r s.below -s s.seed
  flush
  run tpm2_encodeobject -C primary.ctx -u s.pub -r s.below -o "sent-$name.pem"
  may_use_endorsement
  run tpm2_load -C ek.ctx -P session:ek.session -u s.pub -r s.below -c s.ctx
  keep "$handle" s.ctx
}

flush
primary
for case in "$@"; do
  case $case in
    plain) bring private.pem ;;
    persistent)
      bring private.pem
      run tpm2_load -C primary.ctx -u k.pub -r k.prv -c k.ctx
      keep 0x81010002 k.ctx
      ;;
    password) bring private-password.pem -p pass1 ;;
    pcr)
      policy pcr.policy tpm2_policypcr -l sha256:23
      bring private-pcr.pem -L pcr.policy -a sign
      ;;
    banks)
      policy banks.policy tpm2_policypcr -l sha1:16+sha256:23
      bring private-banks.pem -L banks.policy -a sign
      ;;
    restricted) make private-restricted.pem rsa2048:rsassa:null -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign' ;;
    decrypt) make private-decrypt.pem rsa2048 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt' ;;
    ecc) make private-ecc.pem ecc ;;
    generated) make private-generated.pem rsa3072:rsassa:null ;;
    openssl)
      export TPM2OPENSSL_TCTI=$TPM2TOOLS_TCTI
      openssl genpkey -provider tpm2 -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out private-openssl.pem
      openssl genpkey -provider tpm2 -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt user-auth:pass1 \
        -out private-openssl-password.pem
      flush
      ;;
    ek)
      endorsement
      may_use_endorsement
      run tpm2_import -C ek.ctx -P session:ek.session -G rsa2048:rsassa:null -g sha256 -i rsa.pem -u e.pub -r e.prv
      flush
      run tpm2_encodeobject -C primary.ctx -u e.pub -r e.prv -o private-ek.pem
      ;;
    sent-password)
      policy auth.policy tpm2_policyauthvalue
      send password 0x81008001 auth.policy -p bar
      ;;
    sent-pcr)
      policy pcr.policy tpm2_policypcr -l sha256:23
      send pcr 0x81008002 pcr.policy
      ;;
    parent)
      run tpm2_createprimary -C o -G ecc -g sha256 -c below.ctx -p parent
      keep 0x81000001 below.ctx
      run tpm2_import -C 0x81000001 -P parent -G rsa2048:rsassa:null -g sha256 -i rsa.pem -u b.pub -r b.prv
      run tpm2_encodeobject -C 0x81000001 -P parent -u b.pub -r b.prv -o private-below.pem
      flush
      ;;
    owner)
      bring private-owner.pem
      run tpm2_changeauth -c owner owner
      ;;
    *) echo "no such case: $case" >&2; exit 1 ;;
  esac
done
flush
