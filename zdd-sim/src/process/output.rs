//! Reads the output of a container.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::kubelet::{ContainerLog, Stream};

/// How long a line may be before it is split, as container runtimes do.
const LINE_LIMIT: usize = 16 * 1024;

/// Reads a stream to its end.
pub(super) async fn follow(
    log: &ContainerLog,
    stream: Stream,
    source: impl AsyncRead + Unpin,
    (pod, container): (&str, &str),
) {
    let mut source = BufReader::with_capacity(LINE_LIMIT, source);
    let mut line = Vec::new();
    // A read error ends a log as its end does: the writer is gone.
    while let Ok(read @ 1..) = next_line(&mut source, &mut line).await {
        let text = String::from_utf8_lossy(line[..read].trim_ascii_end()).into_owned();
        tracing::debug!(target: "zdd_sim::pod", pod, container, "{text}");
        log.push(stream, text);
    }
}

/// Reads up to a line end, or as much as fits; returns the number of bytes, 0 at the end.
async fn next_line(
    source: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
) -> std::io::Result<usize> {
    line.clear();
    while line.len() < LINE_LIMIT {
        let chunk = source.fill_buf().await?;
        if chunk.is_empty() {
            break;
        }
        let room = chunk.len().min(LINE_LIMIT - line.len());
        let end = chunk[..room].iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(room, |at| at + 1);
        line.extend_from_slice(&chunk[..taken]);
        source.consume(taken);
        if end.is_some() {
            break;
        }
    }
    Ok(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::CAPACITY;

    async fn logged(bytes: &[u8]) -> Vec<String> {
        let log = ContainerLog::default();
        follow(&log, Stream::Stdout, bytes, ("web-1", "app")).await;
        log.lines().into_iter().map(|line| line.text).collect()
    }

    #[tokio::test]
    async fn lines_are_kept_in_order_also_without_a_last_line_end() {
        assert_eq!(logged(b"one\n\ntwo\r\nthree").await, ["one", "", "two", "three"]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_split_and_not_held_in_memory() {
        let lengths: Vec<_> =
            logged(&vec![b'x'; LINE_LIMIT + 5]).await.iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_LIMIT, 5]);
    }

    #[tokio::test]
    async fn the_oldest_lines_give_way_when_the_log_is_full() {
        let line = "y".repeat(1023) + "\n";
        let lines = logged(("first\n".to_owned() + &line.repeat(300)).as_bytes()).await;
        assert!(lines.len() < 300 && lines.len() >= CAPACITY / 1024);
        assert!(!lines.contains(&"first".to_owned()));
    }
}
