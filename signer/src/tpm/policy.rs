//! The authorisation of a key: a password or a policy.
//!
//! A key contains only the digest of its policy. So each policy that the options can satisfy is run in a trial session,
//! until one yields this digest.

use super::TpmError;
use super::device::{Device, ENDORSEMENT_KEYS};
use super::pcrs::Pcrs;
use gce_metadata_support::Secret;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::SessionHandle;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{Digest, DigestList, Name, Public};

/// The authorisation that the use of a key requires.
#[derive(Debug, Clone)]
pub(super) enum Authorization {
    /// The key's password, which may be empty.
    Password,
    /// A policy.
    Policy(Policy),
}

/// The policy commands that authorise the use of a key.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) branch: Branch,
    /// The digests of a PolicyOR, which include that of `branch`. A duplicated key has two: one for its use, one for
    /// the duplication.
    or: Option<DigestList>,
}

/// One branch of a policy.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Branch {
    /// PolicyAuthValue: the password, proven by an HMAC.
    AuthValue,
    /// PolicyPassword: the password in clear.
    Password,
    /// PolicyPCR: these registers must have the values from when the key was made.
    Pcrs(Pcrs),
    /// PolicyPCR, then PolicyAuthValue.
    PcrsAndAuthValue(Pcrs),
}

impl Authorization {
    /// Finds the authorisation of this key among those that the options can satisfy.
    pub(super) fn of(
        device: &mut Device,
        public: &Public,
        pcrs: Option<&Pcrs>,
        parent_password: Option<&Secret>,
    ) -> Result<Self, TpmError> {
        let required = public.auth_policy();
        if required.is_empty() {
            return Ok(Self::Password);
        }
        let branches = match pcrs {
            Some(pcrs) => vec![Branch::Pcrs(pcrs.clone()), Branch::PcrsAndAuthValue(pcrs.clone())],
            None => vec![Branch::AuthValue, Branch::Password],
        };
        let mut digests = Vec::new();
        for branch in branches {
            let digest = device.trial(|device, session| branch.satisfy(device, session))?;
            if digest == *required {
                return Ok(Self::Policy(Policy { branch, or: None }));
            }
            digests.push((branch, digest));
        }
        for (_, kind) in ENDORSEMENT_KEYS {
            let (key, name) = device.endorsement_key(kind, parent_password)?;
            device.flush(key.into());
            let duplication = device.trial(|device, session| duplication_select(device, session, &name))?;
            for (branch, digest) in &digests {
                for pair in [[digest, &duplication], [&duplication, digest]] {
                    let or = list(pair)?;
                    let digest =
                        device.trial(|device, session| Ok(device.context.policy_or(session, or.clone())?))?;
                    if digest == *required {
                        return Ok(Self::Policy(Policy { branch: branch.clone(), or: Some(or) }));
                    }
                }
            }
        }
        match pcrs {
            Some(pcrs) => Err(TpmError::PcrMismatch { pcrs: device.pcr_values(pcrs)? }),
            // userWithAuth: a password authorises signing, and the policy is for other uses.
            None if public.object_attributes().user_with_auth() => Ok(Self::Password),
            None => Err(TpmError::PolicyMismatch),
        }
    }
}

impl Policy {
    /// Runs the policy commands in a new or restarted session.
    pub(super) fn satisfy(&self, device: &mut Device, session: PolicySession) -> Result<(), TpmError> {
        self.branch.satisfy(device, session)?;
        match &self.or {
            Some(digests) => Ok(device.context.policy_or(session, digests.clone())?),
            None => Ok(()),
        }
    }
}

impl Branch {
    pub(super) fn satisfy(&self, device: &mut Device, session: PolicySession) -> Result<(), TpmError> {
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

/// PolicyDuplicationSelect: the branch that allows the duplication of a key to the endorsement key with this name.
fn duplication_select(device: &mut Device, session: PolicySession, name: &Name) -> Result<(), TpmError> {
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
    /// Calculates the digest of a policy in a trial session, which does not require that the policy is satisfied.
    pub(super) fn trial(
        &mut self,
        run: impl FnOnce(&mut Self, PolicySession) -> Result<(), TpmError>,
    ) -> Result<Digest, TpmError> {
        let session = self.policy_session(SessionType::Trial)?;
        let digest = run(self, session).and_then(|()| Ok(self.context.policy_get_digest(session)?));
        self.flush(SessionHandle::from(AuthSession::from(session)).into());
        digest
    }

    /// The values of the registers, for an error message.
    pub(super) fn pcr_values(&mut self, pcrs: &Pcrs) -> Result<String, TpmError> {
        let mut all = Vec::new();
        for (name, selection) in pcrs.each() {
            let selection = selection?;
            let (_, _, digests) = self.context.execute_without_session(|context| context.pcr_read(selection))?;
            let value = digests
                .value()
                .first()
                .map_or_else(|| "missing".to_owned(), |digest| super::device::hex(digest.value()));
            all.push(format!("{name} is {value}"));
        }
        Ok(all.join(" and "))
    }
}
