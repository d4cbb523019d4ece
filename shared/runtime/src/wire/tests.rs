use super::*;
use pingora_core::protocols::Stream;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(5);

async fn pair() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (far, _) = listener.accept().await.unwrap();
    (Wire::plain(near).detach(), far)
}

async fn known(handle: &Handle) -> bool {
    let asked = async {
        loop {
            if let Some(known) = handle.is_unheard() {
                return known;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, asked).await.expect("an answer")
}

#[tokio::test]
async fn a_request_that_met_a_close_is_unheard() {
    let (mut wire, mut far) = pair().await;
    for round in 0..3 {
        wire.begin();
        wire.write_all(b"first").await.unwrap();
        wire.flush().await.unwrap();
        let mut read = [0; 5];
        far.read_exact(&mut read).await.unwrap();
        far.write_all(b"answer").await.unwrap();
        wire.read_exact(&mut [0; 6]).await.unwrap();
        assert_eq!(wire.handle().is_unheard(), Some(false), "round {round}");
    }
    // The close has arrived before the request is written, but nobody has looked.
    drop(far);
    wire.begin();
    wire.write_all(b"second").await.unwrap();
    wire.flush().await.unwrap();
    assert!(known(&wire.handle()).await);
}

#[tokio::test]
async fn a_request_that_was_taken_is_heard_although_it_is_not_answered() {
    let (mut wire, far) = pair().await;
    wire.begin();
    wire.write_all(b"first").await.unwrap();
    wire.flush().await.unwrap();
    far.readable().await.unwrap();
    // Closing with unread bytes resets: what the application would have done is not known.
    drop(far);
    assert!(!known(&wire.handle()).await);
}

/// Whether the last words arrive at a peer whose bytes were never read.
async fn last_words(lingers: bool) -> std::io::Result<String> {
    let (mut wire, mut far) = pair().await;
    far.write_all(b"unread").await?;
    wire.write_all(b"goodbye").await?;
    wire.flush().await?;
    let handle = wire.handle();
    drop(wire);
    let farewell = async {
        if lingers {
            handle.linger(SOON).await;
        }
        drop(handle);
    };
    let mut heard = String::new();
    let hears = async {
        // As late as a peer that has other things to do.
        far.readable().await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        far.read_to_string(&mut heard).await?;
        drop(far);
        std::io::Result::Ok(())
    };
    let ((), outcome) = tokio::join!(farewell, hears);
    outcome.map(|()| heard)
}

#[tokio::test]
async fn the_last_words_arrive_although_bytes_are_unread() {
    assert_eq!(last_words(true).await.unwrap(), "goodbye");
    assert!(last_words(false).await.is_err(), "the control");
}

#[tokio::test]
async fn a_detached_write_never_waits_and_the_handle_tells_when_it_is_taken() {
    let (mut wire, mut far) = pair().await;
    let much = vec![7; 20_000_000];
    tokio::time::timeout(SOON, wire.write_all(&much))
        .await
        .expect("taken at once")
        .unwrap();
    let handle = wire.handle();
    assert!(handle.has_backlog());
    let stalled = handle.drained(Duration::from_millis(50)).await;
    assert_eq!(stalled.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let reader = tokio::spawn(async move {
        let mut read = vec![0; 20_000_000];
        far.read_exact(&mut read).await.unwrap();
        read
    });
    handle.drained(SOON).await.unwrap();
    assert!(!handle.has_backlog());
    assert_eq!(reader.await.unwrap(), much);
}

#[tokio::test]
async fn without_detaching_a_write_waits_for_the_reader() {
    let (wire, _far) = pair().await;
    let mut wire = wire.attach();
    let much = vec![7; 20_000_000];
    let written = tokio::time::timeout(Duration::from_millis(100), wire.write_all(&much)).await;
    assert!(written.is_err(), "the negative control");
}

#[tokio::test]
async fn a_malformed_chunk_fails_the_read() {
    let (mut wire, mut far) = pair().await;
    wire.expect_chunks(b"5\r\nhe").unwrap();
    far.write_all(b"llo\r\n\r\n").await.unwrap();
    let error = wire.read(&mut [0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn the_bytes_after_a_chunked_body_are_free() {
    let (mut wire, mut far) = pair().await;
    wire.expect_chunks(b"").unwrap();
    far.write_all(b"0\r\n\r\nGET").await.unwrap();
    let mut read = [0; 8];
    wire.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"0\r\n\r\nGET");
}

#[tokio::test]
async fn only_detached_wires_have_a_handle_for_sessions() {
    let (wire, _far) = pair().await;
    let stream: Stream = Box::new(wire);
    assert!(Handle::of(&stream).is_some());
    let (wire, _far) = pair().await;
    let stream: Stream = Box::new(wire.attach());
    assert!(Handle::of(&stream).is_none());
}
