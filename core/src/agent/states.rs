//! The transition table of the agent's dials. It knows kinds of inputs, not what is in them.

use alloc::vec::Vec;

use crate::machine::{TransitionRow, transition_rows};

/// What the agent does about its next link.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AgentPhase {
    /// Nothing yet.
    Initial,
    /// It waits for the signature of the token that goes with the next dial.
    SigningToken,
    /// It waits for a WebSocket.
    Dialing,
    /// The newest link logs in.
    LoggingIn,
    /// It has a link that is up, and wants no other.
    Settled,
    /// It waits for the time of the next dial.
    Waiting,
    /// Nothing any more.
    Stopped,
}

/// What the agent is given.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AgentInput {
    /// It is time to dial: at the start, after the delay, because the network changed, or because another link is needed.
    DialDue,
    /// The same, where the dial needs a token.
    TokenDue,
    /// The signer signed the token of the next dial.
    TokenSigned,
    /// The WebSocket of the current dial is open.
    Opened,
    /// The WebSocket of an earlier dial is open.
    StaleOpened,
    /// The newest link is up.
    LoggedIn,
    /// The attempt or the last link ended, and another dial may help.
    TransientFailure,
    /// The attempt or the last link ended, and another dial would end the same way; or the owner stops the agent.
    FinalFailure,
    /// The attempt ended beside links that are up, one of which has to be replaced.
    HandOverFailed,
    /// The attempt ended beside links that are up and enough.
    GrowthFailed,
    /// The last link ended while another one is on its way: one that logs in goes on, a dial begins anew.
    LastLinkLost,
    /// The network changed, or the machine slept, while there is a link.
    Probe,
    /// The owner stops the agent, which has no link.
    Stop,
    /// The owner stops the agent, which has links.
    StopLinks,
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
    /// Gives streams to the new link, and has those drain that it replaces.
    UseLink,
    /// Asks the relay for a sign of life.
    ProbeLinks,
    /// Ends the links; the last one fails for good.
    EndLinks,
    /// Reports the end, and when the next dial is.
    ReportDown,
    /// Sets the time of the next dial.
    Delay,
    /// Does nothing.
    Ignore,
}

use AgentAction as Action;
use AgentInput as Input;
use AgentPhase as Phase;

impl AgentPhase {
    const ALL: [Phase; 7] = [
        Phase::Initial,
        Phase::SigningToken,
        Phase::Dialing,
        Phase::LoggingIn,
        Phase::Settled,
        Phase::Waiting,
        Phase::Stopped,
    ];

    /// The phase after `input`, and what is done.
    pub(super) const fn on(self, input: Input) -> (Phase, Action) {
        match (self, input) {
            (Phase::Initial | Phase::Waiting | Phase::Settled, Input::DialDue) => {
                (Phase::Dialing, Action::RequestDial)
            }
            (Phase::Initial | Phase::Waiting | Phase::Settled, Input::TokenDue) => {
                (Phase::SigningToken, Action::RequestSignature)
            }
            (Phase::SigningToken, Input::TokenSigned) => (Phase::Dialing, Action::RequestDial),
            (Phase::Dialing, Input::Opened) => (Phase::LoggingIn, Action::StartLink),
            (Phase::LoggingIn, Input::LoggedIn) => (Phase::Settled, Action::UseLink),
            // Later than `DIAL_TIMEOUT`, or after the end: the peer is told at once that the socket is not used.
            (Phase::Waiting | Phase::Stopped, Input::Opened | Input::StaleOpened) => {
                (self, Action::CloseSocket)
            }
            (_, Input::Opened | Input::StaleOpened) => (self, Action::DropSocket),
            (
                Phase::SigningToken | Phase::Dialing | Phase::LoggingIn | Phase::Settled,
                Input::TransientFailure,
            ) => (Phase::Waiting, Action::ReportDown),
            (
                Phase::SigningToken | Phase::Dialing | Phase::LoggingIn | Phase::Settled | Phase::Waiting,
                Input::FinalFailure,
            )
            | (Phase::Initial | Phase::SigningToken | Phase::Dialing | Phase::Waiting, Input::Stop) => {
                (Phase::Stopped, Action::ReportDown)
            }
            (Phase::SigningToken | Phase::Dialing | Phase::LoggingIn, Input::HandOverFailed) => {
                (Phase::Waiting, Action::Delay)
            }
            (Phase::SigningToken | Phase::Dialing | Phase::LoggingIn, Input::GrowthFailed) => {
                (Phase::Settled, Action::Delay)
            }
            (Phase::SigningToken | Phase::Dialing, Input::LastLinkLost) => {
                (Phase::Waiting, Action::ReportDown)
            }
            (Phase::LoggingIn | Phase::Waiting, Input::LastLinkLost) => (self, Action::ReportDown),
            (
                Phase::SigningToken | Phase::Dialing | Phase::LoggingIn | Phase::Settled | Phase::Waiting,
                Input::Probe,
            ) => (self, Action::ProbeLinks),
            (
                Phase::SigningToken | Phase::Dialing | Phase::LoggingIn | Phase::Settled | Phase::Waiting,
                Input::StopLinks,
            ) => (self, Action::EndLinks),
            _ => (self, Action::Ignore),
        }
    }
}

impl AgentInput {
    const ALL: [Input; 14] = [
        Input::DialDue,
        Input::TokenDue,
        Input::TokenSigned,
        Input::Opened,
        Input::StaleOpened,
        Input::LoggedIn,
        Input::TransientFailure,
        Input::FinalFailure,
        Input::HandOverFailed,
        Input::GrowthFailed,
        Input::LastLinkLost,
        Input::Probe,
        Input::Stop,
        Input::StopLinks,
    ];
}

/// Every transition.
pub(super) fn rows() -> Vec<TransitionRow> {
    transition_rows(&Phase::ALL, &Input::ALL, Phase::on)
}
