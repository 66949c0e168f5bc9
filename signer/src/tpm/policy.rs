//! How the use of a key must be authorised. The key itself says it, in the digest of its policy: of all that the options
//! allow, what leads to that digest is what it wants.

use super::TpmError;
use super::device::{Device, ENDORSEMENT_KEYS};
use super::pcrs::Pcrs;
use gce_metadata_support::Secret;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::SessionHandle;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{Digest, DigestList, Name, Public};

/// What stands between whoever asks and the key.
#[derive(Debug, Clone)]
pub(super) enum Authorization {
    /// Its password, which may be empty.
    Password,
    /// A policy.
    Policy(Policy),
}

/// What a policy session goes through before the key may be used.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) branch: Branch,
    /// The digests of the branches, one of which is this one. A key that was sent from elsewhere has two: one for its use, one
    /// for the sending.
    or: Option<DigestList>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Branch {
    /// The password, proven.
    AuthValue,
    /// The password, told.
    Password,
    /// Registers as they were when the key was made.
    Pcrs(Pcrs),
    /// Both, in this order.
    PcrsAndAuthValue(Pcrs),
}

impl Authorization {
    /// What this key wants, if the options have it.
    pub(super) fn of(
        device: &mut Device,
        public: &Public,
        pcrs: Option<&Pcrs>,
        parent_password: Option<&Secret>,
    ) -> Result<Self, TpmError> {
        let wanted = public.auth_policy();
        if wanted.is_empty() {
            return Ok(Self::Password);
        }
        let branches = match pcrs {
            Some(pcrs) => vec![Branch::Pcrs(pcrs.clone()), Branch::PcrsAndAuthValue(pcrs.clone())],
            None => vec![Branch::AuthValue, Branch::Password],
        };
        let mut digests = Vec::new();
        for branch in branches {
            let digest = device.trial(|device, session| branch.go(device, session))?;
            if digest == *wanted {
                return Ok(Self::Policy(Policy { branch, or: None }));
            }
            digests.push((branch, digest));
        }
        for (_, kind) in ENDORSEMENT_KEYS {
            let (key, name) = device.endorsement_key(kind, parent_password)?;
            device.flush(key.into());
            let sending = device.trial(|device, session| select(device, session, &name))?;
            for (branch, digest) in &digests {
                for pair in [[digest, &sending], [&sending, digest]] {
                    let or = list(pair)?;
                    if device.trial(|device, session| Ok(device.context.policy_or(session, or.clone())?))? == *wanted {
                        return Ok(Self::Policy(Policy { branch: branch.clone(), or: Some(or) }));
                    }
                }
            }
        }
        match pcrs {
            Some(pcrs) => Err(TpmError::Pcrs { pcrs: device.values(pcrs)? }),
            // Then the policy is there for something else than signing.
            None if public.object_attributes().user_with_auth() => Ok(Self::Password),
            None => Err(TpmError::Policy),
        }
    }
}

impl Policy {
    /// Takes a fresh session through the policy.
    pub(super) fn go(&self, device: &mut Device, session: PolicySession) -> Result<(), TpmError> {
        self.branch.go(device, session)?;
        match &self.or {
            Some(digests) => Ok(device.context.policy_or(session, digests.clone())?),
            None => Ok(()),
        }
    }
}

impl Branch {
    pub(super) fn go(&self, device: &mut Device, session: PolicySession) -> Result<(), TpmError> {
        match self {
            Self::AuthValue => device.context.policy_auth_value(session)?,
            Self::Password => device.context.policy_password(session)?,
            Self::Pcrs(pcrs) => device.context.policy_pcr(session, Digest::default(), pcrs.selection()?)?,
            Self::PcrsAndAuthValue(pcrs) => {
                device.context.policy_pcr(session, Digest::default(), pcrs.selection()?)?;
                device.context.policy_auth_value(session)?;
            }
        }
        Ok(())
    }
}

/// The branch by which a key was sent to the TPM with this endorsement key.
fn select(device: &mut Device, session: PolicySession, name: &Name) -> Result<(), TpmError> {
    let object = Name::try_from(Vec::new())?;
    Ok(device.context.policy_duplication_select(session, object, name.clone(), false)?)
}

fn list(digests: [&Digest; 2]) -> Result<DigestList, TpmError> {
    let mut list = DigestList::new();
    for digest in digests {
        list.add(digest.clone())?;
    }
    Ok(list)
}

impl Device {
    /// The digest of a policy, without meeting it.
    pub(super) fn trial(
        &mut self,
        go: impl FnOnce(&mut Self, PolicySession) -> Result<(), TpmError>,
    ) -> Result<Digest, TpmError> {
        let session = self.policy(SessionType::Trial)?;
        let digest = go(self, session).and_then(|()| Ok(self.context.policy_get_digest(session)?));
        self.flush(SessionHandle::from(AuthSession::from(session)).into());
        digest
    }

    /// The registers' values, for people.
    pub(super) fn values(&mut self, pcrs: &Pcrs) -> Result<String, TpmError> {
        let mut all = Vec::new();
        for (name, selection) in pcrs.each() {
            let selection = selection?;
            let (_, _, digests) = self.context.execute_without_session(|context| context.pcr_read(selection))?;
            let value = digests
                .value()
                .first()
                .map_or_else(|| "not there".to_owned(), |digest| super::device::hex(digest.value()));
            all.push(format!("{name} is {value}"));
        }
        Ok(all.join(" and "))
    }
}
