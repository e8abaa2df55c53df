//! What breaks, or is replaced.

use std::time::Duration;

use hvym_tunnel_core::message::Close;
use hvym_tunnel_tests::wire::Arrival;

use crate::line::PipeEnd;
use crate::links::{LinkWire, WireKey};
use crate::plan::Fault;
use crate::world::{Node, ProcessKey, RECOVERY, World};

/// How long a process that was replaced may finish what it has.
pub(crate) const DRAIN: Duration = Duration::from_secs(20);

impl World {
    /// Something happens to the agent `name`.
    pub(crate) fn fault(&mut self, fault: Fault, name: usize) {
        self.counts.faults += 1;
        let now = self.now;
        let newest = self.processes.iter().rev().find(|(_, node)| node.name == name).map(|(key, _)| *key);
        let Some(process) = newest else { return };
        match fault {
            Fault::CutLink => {
                self.excuse(name, now);
                let one = self.some_wire(process);
                one.into_iter().for_each(|key| self.cut(key));
            }
            Fault::DeadLink => {
                self.excuse(name, now);
                let one = self.some_wire(process);
                if let Some(wire) = one.and_then(|key| self.wires.get_mut(&key)) {
                    (wire.is_dead, wire.is_faulted) = (true, true);
                    wire.to_agent.clear();
                    wire.to_relay.clear();
                }
            }
            Fault::CutAgent => {
                self.excuse(name, now);
                self.cut_all(|wire| wire.process == process);
            }
            Fault::KillAgent => {
                self.excuse(name, now);
                self.cut_all(|wire| wire.process == process);
                self.end_process(process);
                self.start_process(name);
            }
            Fault::RestartAgent => self.restart_agent(process, name),
            Fault::ChangeNetwork => {
                if let Some(node) = self.processes.get_mut(&process) {
                    node.agent.network_changed(now);
                }
            }
            Fault::DrainSession => {
                self.excuse(name, now);
                let session = self.relay.current.get(&name).copied();
                if let Some(hosted) = session.and_then(|key| self.relay.sessions.get_mut(&key)) {
                    hosted.session.drain("update", DRAIN, now);
                }
                self.relay.touched.extend(session);
            }
            Fault::KillRelay(seconds) => self.kill_relay(Duration::from_secs(seconds)),
        }
        self.wake(Node::Process(process), now);
        self.settle();
    }

    /// Another process is started, and the one that is there finishes what it has: no request fails, what lasts longer than
    /// that takes is cut.
    fn restart_agent(&mut self, process: ProcessKey, name: usize) {
        let now = self.now;
        let trouble = &mut self.trouble[name];
        (trouble.tunnels, trouble.session) = (now + RECOVERY, now + RECOVERY);
        if let Some(node) = self.processes.get_mut(&process) {
            node.agent.drain(DRAIN, now);
        }
        self.process(process);
        self.start_process(name);
    }

    /// The relay dies with everything that it had; whoever was connected learns of it.
    fn kill_relay(&mut self, away: Duration) {
        let now = self.now;
        self.relay_returns = now + away;
        (0..self.trouble.len()).for_each(|name| self.excuse(name, self.relay_returns));
        self.cut_all(|_| true);
        for wire in self.wires.values_mut() {
            wire.is_open_at_relay = false;
        }
        for index in self.relay.restart() {
            if let Some(pipe) = &mut self.visitors[index].pipe {
                pipe.reset(PipeEnd::Relay, now);
            }
            self.visitors[index].on_gone(now);
            self.wake(Node::Visitor(index), now + self.visitors[index].plan.line.delay);
        }
    }

    fn some_wire(&mut self, process: ProcessKey) -> Option<WireKey> {
        let own: Vec<WireKey> =
            self.wires.iter().filter(|(_, wire)| wire.process == process).map(|(key, _)| *key).collect();
        let random = self.rng.next_u64() as usize;
        own.get(random % own.len().max(1)).copied()
    }

    fn cut_all(&mut self, which: impl Fn(&LinkWire) -> bool) {
        let keys: Vec<WireKey> =
            self.wires.iter().filter(|(_, wire)| which(wire)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.cut(key));
    }

    /// The transport of a link breaks: what is under way is lost, and both ends learn of it.
    fn cut(&mut self, key: WireKey) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&key) else { return };
        (wire.is_dead, wire.is_faulted) = (true, true);
        for line in [&mut wire.to_agent, &mut wire.to_relay] {
            line.clear();
            line.send(Arrival::Close(Close::abnormal("connection reset")), 0, now);
        }
        let at = wire.to_agent.next().max(wire.to_relay.next()).unwrap_or(now);
        self.wake(Node::Wire(key), at);
    }
}
