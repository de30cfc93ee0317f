//! Files that others asked for: read and sent on a thread of their own.
//!
//! Decides that one file is read at a time, and the next one not before the last is queued for
//! whoever asked: so the disk keeps nobody waiting but those who want files, and no more than one
//! file is in memory beside what waits to be written. When guests that read slowly hold all that
//! may wait for guests, the next file waits a little for one of them to give way.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use log::info;
use peerline_mio::{MAX_LINE, NakCode, ReplyError, Responder};

use super::body::Body;
use super::library::{self, Taken};

/// Files asked for that wait to be read. When full: who asks hears that we are busy. 64, as many
/// requests as guests may have open.
const WAITING: usize = 64;

/// Bytes of a native line around a body; names of nodes and kinds are far shorter.
const AROUND: usize = 4096;

/// How long a guest's file waits before it is tried again, and how often. 15 s in all: whoever
/// reads slowly gives way after ten. On a machine that is busy, each try takes long itself.
const ROOM_EVERY: Duration = Duration::from_secs(1);
const ROOM_TRIES: u32 = 15;

/// What the framework's file sharer says of a file that it does not have.
pub(super) const NOT_FOUND: &str = "File not found";

/// A file to send.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    /// The most bytes that may be sent.
    pub(super) limit: usize,
    /// Whoever asked is native, and gets one line of JSON.
    pub(super) in_a_line: bool,
    pub(super) responder: Responder,
}

/// The thread that reads.
#[derive(Debug)]
pub(super) struct Server(SyncSender<Wanted>);

impl Server {
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start() -> io::Result<Self> {
        let (tell, wanted) = mpsc::sync_channel::<Wanted>(WAITING);
        thread::Builder::new().name("files".into()).spawn(move || {
            wanted.into_iter().for_each(send);
        })?;
        Ok(Self(tell))
    }

    /// Sends a file when its turn comes.
    pub(super) fn send(&self, wanted: Wanted) {
        let (Err(TrySendError::Full(left)) | Err(TrySendError::Disconnected(left))) =
            self.0.try_send(wanted)
        else {
            return;
        };
        left.responder.refuse(NakCode::Busy).detach();
    }
}

fn send(wanted: Wanted) {
    let Wanted { path, limit, in_a_line, responder } = wanted;
    let answered = match read(&path, limit, in_a_line) {
        Ok(body) if in_a_line => responder.finish(&body),
        Ok(body) => match to_guest(&body, &responder) {
            // It has the file; the no only ends its connection.
            Ok(()) => responder.refuse(NakCode::Refused),
            Err(error) => {
                info!("not sent: {error}");
                responder.finish_as("ERRO", &error.to_string())
            }
        },
        Err(why) => responder.finish_as("ERRO", &why),
    };
    if let Err(error) = answered.wait() {
        info!("not sent: {error}");
    }
}

/// Queues a file for a guest as soon as there is room.
fn to_guest(body: &Body, responder: &Responder) -> Result<(), ReplyError> {
    for _ in 0..ROOM_TRIES {
        match responder.send(body).wait() {
            Err(ReplyError::Full { .. }) => thread::sleep(ROOM_EVERY),
            answered => return answered,
        }
    }
    responder.send(body).wait()
}

/// The file as a body, or what to say instead.
fn read(path: &std::path::Path, limit: usize, in_a_line: bool) -> Result<Body, String> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    // Whatever went wrong with it is not for others to know.
    let taken = library::take(path, most).map_err(|_| NOT_FOUND.to_owned())?;
    let bytes = match taken {
        Taken::Whole(bytes) => bytes,
        Taken::TooLong { len, .. } => {
            return Err(format!("file is {len} bytes; the limit is {limit}"));
        }
    };
    let len = bytes.len();
    let body = Body::new(bytes);
    let written = serde_json::to_string(&body).map_or(usize::MAX, |json| json.len());
    let most = MAX_LINE.saturating_sub(AROUND);
    if in_a_line && written > most {
        return Err(format!("file of {len} bytes is {written} as JSON; the limit is {most}"));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn what_is_too_long_is_told_with_both_numbers() {
        let path = std::env::temp_dir().join(format!("peerline-serve-{}", std::process::id()));
        fs::write(&path, [0xff; 9]).unwrap();
        let expected = "file is 9 bytes; the limit is 8";
        assert_eq!(read(&path, 8, false).unwrap_err(), expected);
        assert_eq!(read(&path, 9, false).unwrap().bytes().unwrap(), [0xff; 9]);
        fs::write(&path, vec![0xff; MAX_LINE / 4 * 3]).unwrap();
        let expected = "file of 12582912 bytes is 16777229 as JSON; the limit is 16773120";
        assert_eq!(read(&path, MAX_LINE, true).unwrap_err(), expected);
        assert!(read(&path, MAX_LINE, false).is_ok());
        fs::remove_file(&path).unwrap();
        assert_eq!(read(&path, 8, false).unwrap_err(), NOT_FOUND);
    }
}
