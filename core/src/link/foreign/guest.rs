//! Logins by token: of agents that this relay's owner knows by one, and of ours at relays that know it so.

use alloc::boxed::Box;
use alloc::string::String;

use super::super::{Link, LinkConfig, State};
use crate::dialect::{Frame, Knock, Service};
use crate::handshake::{Guest, Handshake, KnockHandshake, Step, TokenLogin, refused};
use crate::machine::Side;
use crate::reason::DownReason;
use crate::rng::{Rng, Seed};
use crate::time::Instant;

impl Link {
    /// The agent's end of a WebSocket that just opened to a relay which knows agents by tokens. Everything that comes
    /// is for `service`, since nothing there names one.
    pub fn knocking(
        config: LinkConfig,
        login: &TokenLogin,
        service: &Service,
        epoch: u32,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let (half, first) = KnockHandshake::agent(login, &service.name, now);
        let mut link = Self::begin(Side::Agent, config, half, epoch, seed, now);
        link.foreign.proto = service.proto;
        link.on_step(Ok(Some(first)), now);
        link
    }

    /// The relay's end of a WebSocket that was just accepted from such an agent.
    pub fn guest(config: LinkConfig, guest: Guest, seed: Seed, now: Instant) -> Self {
        let (half, first) = KnockHandshake::relay(guest, now);
        let mut link = Self::begin(Side::Relay, config, half, 0, seed, now);
        link.on_step(first, now);
        link
    }

    fn begin(
        side: Side,
        config: LinkConfig,
        half: KnockHandshake,
        epoch: u32,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let dialect = half.dialect();
        let mut link = Self::new(side, config, Handshake::Knock(Box::new(half)), epoch, Rng::new(seed), now);
        link.dialect = dialect;
        link
    }

    /// Lets in who was announced by [`LinkEvent::Knock`](crate::link::LinkEvent::Knock). `name` is what its owner is shown.
    pub fn welcome(&mut self, name: String, now: Instant) {
        if let State::Login(Handshake::Knock(half)) = &mut self.state
            && let Some((granted, endpoint)) = half.welcome(name)
        {
            // Existing agents take the first message for the answer, whatever it is: nothing may go ahead of it.
            if let Some(granted) = granted {
                self.say(granted);
            }
            self.on_step(Ok(Some(Step::Done(endpoint))), now);
        }
    }

    pub(in crate::link) fn say(&mut self, knock: Knock) {
        self.control.extend(self.dialect.encode(Frame::Knock(knock)));
    }

    pub(in crate::link) fn on_knock(&mut self, knock: Knock, now: Instant) {
        match &mut self.state {
            State::Login(Handshake::Knock(half)) => {
                let step = half.handle_knock(knock);
                self.on_step(step, now);
            }
            State::Login(_) => {}
            // The existing server ignores a second one.
            State::Up | State::Ended => tracing::debug!(?knock, "ignored after the login"),
        }
    }

    /// Says why, in dialects that have words for it: some agents spin when they see a bare close.
    pub(in crate::link) fn say_refused(&mut self, reason: &DownReason) {
        let is_login = self.is_relay_login();
        let ends = matches!(reason, DownReason::Replaced | DownReason::NotAllowed(_)) || is_login;
        let fault =
            matches!(reason, DownReason::Malformed(_) | DownReason::TimedOut(_) | DownReason::Finished);
        if self.side == Side::Relay && ends && !fault {
            self.say(refused(reason, is_login));
        }
    }
}
