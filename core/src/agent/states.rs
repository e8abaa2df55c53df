//! The transition table of the agent. It knows kinds of inputs, not what is in them.

use alloc::vec::Vec;

use crate::machine::{TransitionRow, transition_rows};

/// What the agent does now.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AgentPhase {
    /// Nothing yet.
    Initial,
    /// It waits for the signature of the token that goes with the next dial.
    SigningToken,
    /// It waits for a WebSocket.
    Dialing,
    /// It has a link, which logs in or is up.
    Linked,
    /// It waits for the time of the next dial.
    Waiting,
    /// Nothing any more.
    Stopped,
}

/// What the agent is given.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AgentInput {
    /// It is time to dial: at the start, after the delay, or because the network changed.
    DialDue,
    /// The same, where the dial needs a token.
    TokenDue,
    /// The signer signed the token of the next dial.
    TokenSigned,
    /// The WebSocket of the current dial is open.
    Opened,
    /// The WebSocket of an earlier dial is open.
    StaleOpened,
    /// The attempt or the link ended, and another dial may help.
    TransientFailure,
    /// The attempt or the link ended, and another dial would end the same way; or the owner stops the agent.
    FinalFailure,
    /// The network changed, or the machine slept, while there is a link.
    Probe,
    /// The owner stops the agent.
    Stop,
}

/// What the agent does about it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AgentAction {
    /// Asks for the signature of a token.
    RequestSignature,
    /// Asks for a WebSocket.
    RequestDial,
    /// Begins the login.
    StartLink,
    /// Has the socket closed, which nobody uses.
    CloseSocket,
    /// Has the socket dropped: the agent waits for another one.
    DropSocket,
    /// Asks the relay for a sign of life.
    ProbeLink,
    /// Ends the link, which then fails for good.
    EndLink,
    /// Reports the end, and when the next dial is.
    ReportDown,
    /// Does nothing.
    Ignore,
}

use AgentAction as Action;
use AgentInput as Input;
use AgentPhase as Phase;

impl AgentPhase {
    const ALL: [Phase; 6] =
        [Phase::Initial, Phase::SigningToken, Phase::Dialing, Phase::Linked, Phase::Waiting, Phase::Stopped];

    /// The phase after `input`, and what is done.
    pub(super) const fn on(self, input: Input) -> (Phase, Action) {
        match (self, input) {
            (Phase::Initial | Phase::Waiting, Input::DialDue) => (Phase::Dialing, Action::RequestDial),
            (Phase::Initial | Phase::Waiting, Input::TokenDue) => {
                (Phase::SigningToken, Action::RequestSignature)
            }
            (Phase::SigningToken, Input::TokenSigned) => (Phase::Dialing, Action::RequestDial),
            (Phase::Dialing, Input::Opened) => (Phase::Linked, Action::StartLink),
            // Later than `DIAL_TIMEOUT`, or after the end: the peer is told at once that the socket is not used.
            (Phase::Waiting | Phase::Stopped, Input::Opened | Input::StaleOpened) => {
                (self, Action::CloseSocket)
            }
            (Phase::Initial | Phase::SigningToken | Phase::Linked, Input::Opened)
            | (Phase::Initial | Phase::SigningToken | Phase::Dialing | Phase::Linked, Input::StaleOpened) => {
                (self, Action::DropSocket)
            }
            (Phase::SigningToken | Phase::Dialing | Phase::Linked, Input::TransientFailure) => {
                (Phase::Waiting, Action::ReportDown)
            }
            (Phase::SigningToken | Phase::Dialing | Phase::Linked, Input::FinalFailure)
            | (Phase::Initial | Phase::SigningToken | Phase::Dialing | Phase::Waiting, Input::Stop) => {
                (Phase::Stopped, Action::ReportDown)
            }
            (Phase::Linked, Input::Probe) => (Phase::Linked, Action::ProbeLink),
            (Phase::Linked, Input::Stop) => (Phase::Linked, Action::EndLink),
            (Phase::SigningToken | Phase::Dialing | Phase::Linked | Phase::Stopped, Input::DialDue)
            | (Phase::SigningToken | Phase::Dialing | Phase::Linked | Phase::Stopped, Input::TokenDue)
            | (
                Phase::Initial | Phase::Dialing | Phase::Linked | Phase::Waiting | Phase::Stopped,
                Input::TokenSigned,
            )
            | (
                Phase::Initial | Phase::Waiting | Phase::Stopped,
                Input::TransientFailure | Input::FinalFailure,
            )
            | (
                Phase::Initial | Phase::SigningToken | Phase::Dialing | Phase::Waiting | Phase::Stopped,
                Input::Probe,
            )
            | (Phase::Stopped, Input::Stop) => (self, Action::Ignore),
        }
    }
}

impl AgentInput {
    const ALL: [Input; 9] = [
        Input::DialDue,
        Input::TokenDue,
        Input::TokenSigned,
        Input::Opened,
        Input::StaleOpened,
        Input::TransientFailure,
        Input::FinalFailure,
        Input::Probe,
        Input::Stop,
    ];
}

/// Every transition.
pub(super) fn rows() -> Vec<TransitionRow> {
    transition_rows(&Phase::ALL, &Input::ALL, Phase::on)
}
