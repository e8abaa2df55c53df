//! The transition table of the agent's half of the login. It knows kinds of inputs, not what is in them.

use alloc::vec::Vec;

use crate::machine::{TransitionRow, transition_rows};

/// What the agent's half waits for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AgentLoginPhase {
    /// `auth_challenge`.
    AwaitingChallenge,
    /// `auth_challenge`, or `auth_ok` for the token in the upgrade request.
    AwaitingChallengeOrOk,
    /// The signer.
    AwaitingSignature,
    /// `auth_ok`.
    AwaitingOk,
    /// Nothing: the data plane follows.
    Done,
    /// Nothing: the link ends.
    Failed,
}

/// What the agent's half is given.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AgentLoginInput {
    /// `auth_challenge`.
    Challenge,
    /// `auth_ok`.
    Ok,
    /// `auth_failed`.
    Refusal,
    /// `ping`.
    Ping,
    /// `pong`, `error`, or a type that this version does not know.
    Notice,
    /// Any other control message.
    OtherSignal,
    /// A message that is no control message.
    NoSignal,
    /// A signature for the current request.
    Signature,
    /// The signer refuses the current request.
    SignatureDeclined,
    /// The signer's answer to an earlier request.
    StaleSignature,
    /// The time limit of the current step has passed.
    Deadline,
}

/// What the agent's half does. An action that finds a fault in the input's content fails the login.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AgentLoginAction {
    /// Checks the challenge and asks for a signature.
    RequestSignature,
    /// Sends `auth_response`.
    SendResponse,
    /// Checks what the relay granted.
    AcceptGrant,
    /// Sends `pong`.
    SendPong,
    /// Does nothing.
    Ignore,
    /// Ends the link with the reason that the input gives.
    Fail,
    /// Ends the link: the input is illegal in this phase.
    Reject,
}

use AgentLoginAction as Action;
use AgentLoginInput as Input;
use AgentLoginPhase as Phase;

impl AgentLoginPhase {
    const ALL: [Phase; 6] = [
        Phase::AwaitingChallenge,
        Phase::AwaitingChallengeOrOk,
        Phase::AwaitingSignature,
        Phase::AwaitingOk,
        Phase::Done,
        Phase::Failed,
    ];

    /// The phase after `input`, if the action succeeds, and the action.
    pub(super) const fn on(self, input: Input) -> (Phase, Action) {
        match (self, input) {
            (Phase::Done | Phase::Failed, _) => (self, Action::Ignore),
            (_, Input::Refusal | Input::NoSignal | Input::Deadline) => (Phase::Failed, Action::Fail),
            // Relays of other programs ping during the login.
            (_, Input::Ping) => (self, Action::SendPong),
            (_, Input::Notice | Input::StaleSignature) => (self, Action::Ignore),
            (Phase::AwaitingChallenge | Phase::AwaitingChallengeOrOk, Input::Challenge) => {
                (Phase::AwaitingSignature, Action::RequestSignature)
            }
            (Phase::AwaitingSignature, Input::Signature) => (Phase::AwaitingOk, Action::SendResponse),
            (Phase::AwaitingSignature, Input::SignatureDeclined) => (Phase::Failed, Action::Fail),
            (Phase::AwaitingChallengeOrOk | Phase::AwaitingOk, Input::Ok) => {
                (Phase::Done, Action::AcceptGrant)
            }
            (Phase::AwaitingChallenge | Phase::AwaitingSignature, Input::Ok)
            | (Phase::AwaitingSignature | Phase::AwaitingOk, Input::Challenge)
            | (_, Input::OtherSignal) => (Phase::Failed, Action::Reject),
            (
                Phase::AwaitingChallenge | Phase::AwaitingChallengeOrOk | Phase::AwaitingOk,
                Input::Signature | Input::SignatureDeclined,
            ) => (self, Action::Ignore),
        }
    }
}

impl AgentLoginInput {
    const ALL: [Input; 11] = [
        Input::Challenge,
        Input::Ok,
        Input::Refusal,
        Input::Ping,
        Input::Notice,
        Input::OtherSignal,
        Input::NoSignal,
        Input::Signature,
        Input::SignatureDeclined,
        Input::StaleSignature,
        Input::Deadline,
    ];
}

/// Every transition.
pub(super) fn rows() -> Vec<TransitionRow> {
    transition_rows(&Phase::ALL, &Input::ALL, Phase::on)
}
