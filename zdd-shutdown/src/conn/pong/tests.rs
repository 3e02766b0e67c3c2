use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap();
    [&[0, 0, len, kind, 0, 0, 0, 0, 1], payload].concat()
}

/// What a client sends: the preface, a frame, the answer, two frames.
fn sent() -> (Vec<u8>, Vec<u8>) {
    let before = [PREFACE, &frame(4, b"")].concat();
    let behind = [frame(1, b"headers"), frame(0, &PONG)].concat();
    ([&before[..], &PONG, &behind].concat(), [&before[..], &behind, &PONG].concat())
}

/// Writes the parts one after the other, and reads with a buffer of this size.
async fn through(parts: &[&[u8]], room: usize) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(1024);
    let mut server = HeldPong::new(server, Duration::from_secs(5));
    let total = parts.iter().map(|part| part.len()).sum();
    let mut read = Vec::new();
    let mut buffer = vec![0; room];
    for (index, part) in parts.iter().enumerate() {
        client.write_all(part).await.unwrap();
        let last = index + 1 == parts.len();
        // All that is there now; the answer comes when time has passed.
        while let Ok(got) = tokio::time::timeout(
            if last { Duration::from_secs(1) } else { Duration::from_millis(1) },
            server.read(&mut buffer),
        )
        .await
        {
            read.extend_from_slice(&buffer[..got.unwrap()]);
            if read.len() == total {
                return read;
            }
        }
    }
    read
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_behind_what_was_sent_behind_it() {
    let (sent, expected) = sent();
    assert_eq!(through(&[&sent], 1024).await, expected);
}

#[tokio::test(start_paused = true)]
async fn wherever_the_bytes_are_divided_all_frames_arrive_whole() {
    let (sent, moved) = sent();
    for at in 1..sent.len() {
        let (first, second) = sent.split_at(at);
        let read = through(&[first, second], 1024).await;
        // An answer in two parts is let through where it is.
        assert!(read == moved || read == sent, "at {at}: {read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_buffer_gets_the_answer_in_parts() {
    let (sent, _) = sent();
    for room in 1..32 {
        assert_eq!(through(&[&sent], room).await.len(), sent.len(), "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_begin_as_http2_is_let_through_as_it_is() {
    let (sent, _) = sent();
    for same in 0..PREFACE.len() {
        let mut other = sent.clone();
        other[same] ^= 1;
        let (first, second) = other.split_at(same);
        assert_eq!(through(&[first, second], 1024).await, other, "{same}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_alone_is_not_taken_for_the_end() {
    let (mut client, server) = tokio::io::duplex(1024);
    let mut server = HeldPong::new(server, Duration::from_secs(5));
    client.write_all(PREFACE).await.unwrap();
    server.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
    client.write_all(&PONG).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut answer = [0; PONG.len()];
    server.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, PONG);
    assert!(began.elapsed() >= HOLD);
    drop(client);
    assert_eq!(server.read(&mut answer).await.unwrap(), 0);
}
