//! The transition table of the relay's half of the login. It knows kinds of inputs, not what is in them.

use alloc::vec::Vec;

use crate::machine::{TransitionRow, transition_rows};

/// What the relay's half waits for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum RelayLoginPhase {
    /// The link, to begin.
    Initial,
    /// `auth_response`.
    AwaitingResponse,
    /// The relay's owner, who admits or refuses. This is not timed.
    AwaitingDecision,
    /// Nothing: the data plane follows.
    Done,
    /// Nothing: the link ends.
    Failed,
}

/// What the relay's half is given.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum RelayLoginInput {
    /// The WebSocket is open; its upgrade request had no token that can be taken.
    Start,
    /// The WebSocket is open; its upgrade request had a token.
    StartWithToken,
    /// `auth_response`.
    Response,
    /// Any other control message.
    OtherSignal,
    /// A message that is no control message.
    NoSignal,
    /// The owner admits the agent.
    Admit,
    /// The time limit of the login has passed.
    Deadline,
}

/// What the relay's half does. An action that finds a fault in the input's content fails the login.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum RelayLoginAction {
    /// Sends `auth_challenge`.
    SendChallenge,
    /// Verifies the token of the upgrade request, and asks the owner.
    VerifyToken,
    /// Verifies the token of the response, and asks the owner.
    VerifyResponse,
    /// Sends `auth_ok`.
    SendOk,
    /// Does nothing.
    Ignore,
    /// Ends the link with the reason that the input gives.
    Fail,
    /// Ends the link: the input is illegal in this phase.
    Reject,
}

use RelayLoginAction as Action;
use RelayLoginInput as Input;
use RelayLoginPhase as Phase;

impl RelayLoginPhase {
    const ALL: [Phase; 5] =
        [Phase::Initial, Phase::AwaitingResponse, Phase::AwaitingDecision, Phase::Done, Phase::Failed];

    /// The phase after `input`, if the action succeeds, and the action.
    pub(super) const fn on(self, input: Input) -> (Phase, Action) {
        match (self, input) {
            (Phase::Done | Phase::Failed, _) => (self, Action::Ignore),
            (_, Input::NoSignal) => (Phase::Failed, Action::Fail),
            (Phase::Initial, Input::Start) => (Phase::AwaitingResponse, Action::SendChallenge),
            (Phase::Initial, Input::StartWithToken) => (Phase::AwaitingDecision, Action::VerifyToken),
            (Phase::AwaitingResponse, Input::Response) => (Phase::AwaitingDecision, Action::VerifyResponse),
            (Phase::AwaitingResponse, Input::Deadline) => (Phase::Failed, Action::Fail),
            (Phase::AwaitingDecision, Input::Admit) => (Phase::Done, Action::SendOk),
            (Phase::Initial | Phase::AwaitingDecision, Input::Response) | (_, Input::OtherSignal) => {
                (Phase::Failed, Action::Reject)
            }
            (Phase::AwaitingResponse | Phase::AwaitingDecision, Input::Start | Input::StartWithToken)
            | (Phase::Initial | Phase::AwaitingResponse, Input::Admit)
            | (Phase::Initial | Phase::AwaitingDecision, Input::Deadline) => (self, Action::Ignore),
        }
    }
}

impl RelayLoginInput {
    const ALL: [Input; 7] = [
        Input::Start,
        Input::StartWithToken,
        Input::Response,
        Input::OtherSignal,
        Input::NoSignal,
        Input::Admit,
        Input::Deadline,
    ];
}

/// Every transition.
pub(super) fn rows() -> Vec<TransitionRow> {
    transition_rows(&Phase::ALL, &Input::ALL, Phase::on)
}
