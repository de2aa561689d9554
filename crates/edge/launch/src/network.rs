//! A network apart from the host's, in which every address leads to the process' own sockets (SEC-132, SEC-138).
//!
//! The namespace has a loopback and nothing else. A route makes the whole Internet local to it, so that a listening socket
//! for any address takes connections to every address at its port; whoever holds the socket learns where a connection was
//! meant to go by asking for its own end. Ports without a socket answer with a reset. The kernel is asked in its own language
//! (rtnetlink(7)), because the C library's way needs unsafe code.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with, sockopt,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::bounds::{Mounting, Network};
use crate::enter::EnterError;
use crate::handover::{Handover, Inside, receive};
use crate::mounts;

/// The namespace's own address: without one beside the loopback, C libraries take it for one without IPv4. It is that of
/// `marram-egress`.
const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// Connections that wait to be taken, at each port.
const BACKLOG: i32 = 128;

/// Of names.
const PORT_DNS: u16 = 53;

/// The loopback is the first interface of every namespace.
const LOOPBACK: u32 = 1;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
const NLM_F_CREATE_EXCL: u16 = 0x400 | 0x200;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;
const RT_TABLE_LOCAL: u8 = 255;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_HOST: u8 = 254;
const RTN_LOCAL: u8 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Groups of `NETLINK_SOCK_DIAG`: sockets of TCP and UDP over either IP that are destroyed.
const SOCKETS_DESTROYED: u32 = 0b1111;

/// Enters the network, and the mount namespace with it; hands what the core needs to it over standard input, which becomes that
/// of the component.
pub(crate) fn enter(network: &Network, mounting: Mounting) -> std::result::Result<(), EnterError> {
    let told = |what: &'static str| move |source: Errno| EnterError::Network(format!("{what}: {source}"));
    let core =
        rustix::stdio::stdin().as_fd().try_clone_to_owned().map_err(|error| EnterError::Network(error.to_string()))?;
    let given = receive(&core).map_err(told("nothing came from the core"))?;
    let the = |what: Inside| given.iter().find(|(kind, _)| *kind == what).map(|(_, descriptor)| descriptor);
    match network {
        Network::New(ports) => {
            mounts::enter(mounting, true)?;
            raise().map_err(told("the loopback"))?;
            let sockets = listen(ports).map_err(told("its sockets"))?;
            let namespace = |name: &str| {
                File::open(format!("/proc/self/ns/{name}")).map_err(|error| EnterError::Network(error.to_string()))
            };
            let (own, users) = (namespace("net")?, namespace("user")?);
            let mut handover = Handover::default();
            handover.add(Inside::Network, &own);
            if mounting == Mounting::Namespace {
                handover.add(Inside::Users, &users);
            }
            sockets.iter().for_each(|(what, socket)| handover.add(*what, socket));
            handover.send(&core).map_err(told("the core"))?;
        }
        Network::Join => {
            let network = the(Inside::Network).ok_or_else(|| EnterError::Network("none to join".to_owned()))?;
            if let Some(users) = the(Inside::Users) {
                move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User)).map_err(told("its users"))?;
            }
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).map_err(told("joining it"))?;
            match the(Inside::Users) {
                Some(_) => mounts::enter_joined()?,
                None => mounts::enter(mounting, false)?,
            }
        }
    }
    let input = the(Inside::Input).ok_or_else(|| EnterError::Network("no standard input".to_owned()))?;
    rustix::stdio::dup2_stdin(input).map_err(told("standard input"))
}

/// Brings up the loopback of a fresh namespace and makes the world local to it.
pub(crate) fn raise() -> Result<()> {
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let index = LOOPBACK.to_ne_bytes();
    // struct ifinfomsg: family, type, index, flags, which of them change.
    let link = [&[0; 4][..], &index, &IFF_UP.to_ne_bytes(), &IFF_UP.to_ne_bytes()].concat();
    ask(&kernel, RTM_NEWLINK, 0, &link)?;
    // struct ifaddrmsg: family, length, flags, scope, index.
    let own = OWN.octets();
    let address =
        [&[AF_INET, 32, 0, 0][..], &index, &attribute(IFA_LOCAL, &own), &attribute(IFA_ADDRESS, &own)].concat();
    ask(&kernel, RTM_NEWADDR, NLM_F_CREATE_EXCL, &address)?;
    // struct rtmsg: family, lengths of destination and source, kind of service, table, origin, scope, type, flags.
    let route = |family: u8| {
        let head = [family, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL, 0, 0, 0, 0];
        [&head[..], &attribute(RTA_OIF, &index)].concat()
    };
    let world = [route(AF_INET), attribute(RTA_PREFSRC, &own)].concat();
    ask(&kernel, RTM_NEWROUTE, NLM_F_CREATE_EXCL, &world)?;
    // A kernel without IPv6 has nothing to lead there.
    let _ = ask(&kernel, RTM_NEWROUTE, NLM_F_CREATE_EXCL, &route(AF_INET6));
    Ok(())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u16 + 4).to_ne_bytes();
    [&length[..], &kind.to_ne_bytes(), value].concat()
}

/// Sends one request and waits for its acknowledgement.
fn ask(kernel: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    const HEADER: usize = 16;
    let mut request = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend((NLM_F_REQUEST_ACK | flags).to_ne_bytes());
    // Number of the request, port of the sender: the kernel fills in what it needs.
    request.extend([0; 8]);
    request.extend(body);
    send(kernel, &request, SendFlags::empty())?;
    let mut answer = [0; 1024];
    let (_, count) = recv(kernel, &mut answer[..], RecvFlags::empty())?;
    let answer = answer.get(..count).and_then(|answer| answer.first_chunk::<{ HEADER + 4 }>()).ok_or(Errno::BADMSG)?;
    if u16::from_ne_bytes([answer[4], answer[5]]) != NLMSG_ERROR {
        return Err(Errno::BADMSG);
    }
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(Errno::from_raw_os_error(-error)),
    }
}

/// The sockets that the core serves: names at the loopback, every address at `ports`.
pub(crate) fn listen(ports: &[u16]) -> Result<Vec<(Inside, OwnedFd)>> {
    let mut all = Vec::with_capacity(ports.len() + 3);
    if let Some(reports) = reports() {
        all.push((Inside::Attempts, reports));
    }
    let names = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT_DNS));
    let questions = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    bind(&questions, &names)?;
    all.push((Inside::Questions, questions));
    if !ports.contains(&PORT_DNS) {
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&listener, &names)?;
        rustix::net::listen(&listener, BACKLOG)?;
        all.push((Inside::QuestionConnections, listener));
    }
    for port in ports {
        all.push((Inside::Listener, listener(*port)?));
    }
    Ok(all)
}

/// For both kinds of addresses where there are two.
fn listener(port: u16) -> Result<OwnedFd> {
    let stream = |family| socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (listener, address): (_, SocketAddr) = match stream(AddressFamily::INET6) {
        Ok(listener) => {
            sockopt::set_ipv6_v6only(&listener, false)?;
            (listener, SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0).into())
        }
        Err(_) => (stream(AddressFamily::INET)?, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into()),
    };
    bind(&listener, &address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// What the kernel tells of destroyed sockets; only for the count of attempts, so a kernel that tells nothing will do.
fn reports() -> Option<OwnedFd> {
    let reports =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG)).ok()?;
    bind(&reports, &SocketAddrNetlink::new(0, SOCKETS_DESTROYED)).ok()?;
    Some(reports)
}
