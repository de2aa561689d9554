//! A serial line as an async stream: raw, non-blocking, ours alone.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::termios::{ControlModes, InputModes, OptionalActions, QueueSelector};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::endpoint::{Parity, SerialSettings};

/// An open serial line: to the system a terminal, which is waited for and moved bytes through like a pipe.
#[derive(Debug)]
pub(super) struct SerialStream {
    input: Receiver,
    output: Sender,
}

impl SerialStream {
    /// Opens and sets the line up; what stood in its buffers is dropped.
    ///
    /// # Errors
    /// It is not there, no terminal, not ours to use, or in use.
    pub(super) fn open(settings: &SerialSettings) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let line = rustix::fs::open(&settings.path, flags, Mode::empty())?;
        let mut modes = rustix::termios::tcgetattr(&line)?;
        // Two programs on one line would take each other's answers.
        rustix::fs::flock(&line, FlockOperation::NonBlockingLockExclusive)?;
        rustix::termios::ioctl_tiocexcl(&line)?;
        modes.make_raw();
        modes.set_speed(settings.baud)?;
        modes.input_modes -= InputModes::IXON | InputModes::IXOFF | InputModes::IXANY;
        modes.control_modes -= ControlModes::CSIZE
            | ControlModes::PARENB
            | ControlModes::PARODD
            | ControlModes::CMSPAR
            | ControlModes::CSTOPB
            | ControlModes::CRTSCTS
            | ControlModes::HUPCL;
        modes.control_modes |= ControlModes::CS8 | ControlModes::CLOCAL | ControlModes::CREAD;
        if settings.parity != Parity::None {
            modes.control_modes |= ControlModes::PARENB;
            modes.input_modes |= InputModes::INPCK;
        }
        if settings.parity == Parity::Odd {
            modes.control_modes |= ControlModes::PARODD;
        }
        if settings.is_two_stop_bits {
            modes.control_modes |= ControlModes::CSTOPB;
        }
        rustix::termios::tcsetattr(&line, OptionalActions::Now, &modes)?;
        rustix::termios::tcflush(&line, QueueSelector::IOFlush)?;
        let line = File::from(line);
        Ok(Self {
            input: Receiver::from_file_unchecked(line.try_clone()?)?,
            output: Sender::from_file_unchecked(line)?,
        })
    }
}

impl AsyncRead for SerialStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SerialStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.output).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
