//! Descriptors between the core and a launcher that makes a network: over the launcher's standard input, which is a socket.
//!
//! The core sends what becomes the standard input of the component and, for a process that joins a network, its namespaces.
//! A launcher that made one answers with the namespaces and the sockets in it: one byte for each, in order.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Descriptors of one message; the kernel takes up to 253.
const DESCRIPTORS_MAX: usize = 128;

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// The standard input of the component.
    Input,
    /// The user namespace that owns the network, where the core has no privileges.
    Users,
    /// The network namespace.
    Network,
    /// A socket for questions for names.
    Questions,
    /// The same for connections.
    QuestionConnections,
    /// A listening socket.
    Listener,
    /// A socket with the kernel's reports of vain attempts.
    Attempts,
}

impl Inside {
    const ALL: [(Self, u8); 7] = [
        (Self::Input, b'i'),
        (Self::Users, b'u'),
        (Self::Network, b'n'),
        (Self::Questions, b'q'),
        (Self::QuestionConnections, b'c'),
        (Self::Listener, b'l'),
        (Self::Attempts, b'a'),
    ];
}

/// Descriptors to send.
#[derive(Debug, Default)]
pub struct Handover<'a> {
    words: Vec<u8>,
    descriptors: Vec<BorrowedFd<'a>>,
}

impl<'a> Handover<'a> {
    /// Adds one.
    pub fn add(&mut self, what: Inside, descriptor: &'a impl AsFd) {
        self.words.extend(Inside::ALL.iter().filter(|(known, _)| *known == what).map(|(_, word)| word));
        self.descriptors.push(descriptor.as_fd());
    }

    /// Sends all of them.
    ///
    /// # Errors
    /// There are too many, or nobody is there.
    pub fn send(&self, to: impl AsFd) -> Result<()> {
        if self.descriptors.len() > DESCRIPTORS_MAX {
            return Err(Errno::TOOMANYREFS);
        }
        let mut room = [const { MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        if !control.push(SendAncillaryMessage::ScmRights(&self.descriptors)) {
            return Err(Errno::TOOMANYREFS);
        }
        let sent = sendmsg(to, &[IoSlice::new(&self.words)], &mut control, SendFlags::NOSIGNAL)?;
        if sent == self.words.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
    }
}

/// Takes the message that is there.
///
/// # Errors
/// There is none, or one that cannot be understood.
pub fn receive(from: impl AsFd) -> Result<Vec<(Inside, OwnedFd)>> {
    let mut room = [const { MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut words = [0; DESCRIPTORS_MAX];
    let got = recvmsg(from, &mut [IoSliceMut::new(&mut words)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if got.bytes != descriptors.len() || descriptors.is_empty() {
        return Err(Errno::BADMSG);
    }
    let all = words.iter().zip(descriptors).map(|(word, descriptor)| {
        let (what, _) = Inside::ALL.iter().find(|(_, known)| known == word).ok_or(Errno::BADMSG)?;
        Ok((*what, descriptor))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_as_what_they_were_sent() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut sent, other) = UnixStream::pair().unwrap();
        let mut handover = Handover::default();
        handover.add(Inside::Input, &other);
        handover.add(Inside::Network, &far);
        handover.send(&near).unwrap();
        let received = receive(&far).unwrap();
        let kinds: Vec<_> = received.iter().map(|(what, _)| *what).collect();
        assert_eq!(kinds, [Inside::Input, Inside::Network]);
        sent.write_all(b"x").unwrap();
        let mut got = [0];
        UnixStream::from(received.into_iter().next().unwrap().1).read_exact(&mut got).unwrap();
        assert_eq!(&got, b"x");
        drop(near);
        assert!(receive(&far).is_err(), "nobody is there");
        (&far).write_all(b"?").unwrap_err();
    }
}
